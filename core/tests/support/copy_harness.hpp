// What a vendor adds to copy_harness.cpp: launch_copy and harness_limits.
#pragma once

#include <accel/kv_copy_plan.hpp>

#include <cstdint>
#include <vector>

#include "accel_sim/kernels/run.h"

// What a launch runs on; the rest of `launch` is the vendor's to fill.
struct HarnessContext {
  accel_kernel_launch launch;
  std::vector<accel_kernel_region> regions;
  char* text;
  std::size_t room;
};

extern const accel::KvCopyLimits harness_limits;
// Launches accel_kv_copy on `cores` cores; 0, or not, with what went wrong in the context's text.
int launch_copy(HarnessContext& context, std::uint32_t cores,
                const std::vector<std::uint8_t>& arguments);
// Runs it on the context's regions.
int run_here(HarnessContext& context);
