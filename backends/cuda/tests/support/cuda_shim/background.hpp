// Copies in the background, as shim.cpp sees them.
#pragma once

#include <cstdint>

namespace accel_shim {

// The launch's random numbers.
std::uint64_t draw();

// Before a block.
void forget_copies();
// When a thread returns from the kernel: its stores must have been waited for.
void end_of_thread();
// After a block.
bool bulk_loads_under_way();

}  // namespace accel_shim
