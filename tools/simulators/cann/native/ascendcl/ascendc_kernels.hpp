// Kernels compiled from AscendC through accel_sim_cann/ascendc, whose stand-in runs them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ascendcl {

// Data that travels with a launch, at the address that a placeholder stands for.
using Carried = std::vector<std::shared_ptr<std::vector<std::uint64_t>>>;

// Whether the binary was built so.
bool is_ascendc(void* library);

// Runs a kernel of it on `blocks` cores; throws what the kernel did wrong. Arguments are words of 8
// bytes.
void run_ascendc(void* library, void* kernel, const std::string& name, std::uint32_t blocks,
                 const std::vector<std::uint8_t>& arguments, const Carried& carried,
                 std::uint64_t seed);

}  // namespace ascendcl
