// Kernels compiled for the host through a vendor's stand-in (accel_sim/kernels/run.h), run on the
// simulator's memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "accel_sim/kernels/run.h"

namespace accel_sim __attribute__((visibility("default"))) {

// Data that travels with a launch and may be read at its own address.
using Carried = std::vector<std::shared_ptr<std::vector<std::uint64_t>>>;

// Whether a shared object (of dlopen) was compiled so.
bool has_kernel_runner(void* library);

// Runs a kernel of it; `launch` without its translation. Throws task_failed with what the kernel did
// wrong: it reaches live device memory, page-locked host memory and what is carried, nothing else.
void run_kernel(void* library, const std::string& name, accel_kernel_launch launch,
                const Carried& carried);

}  // namespace accel_sim
