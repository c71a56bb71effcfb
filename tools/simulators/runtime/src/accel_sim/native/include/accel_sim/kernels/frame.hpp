// The exported functions of a shared object of kernels: included once by a stand-in's run.cpp, which
// defines accel_kernels::run(launch), and runs clusters by run_clusters().
#pragma once

#include <cstdio>
#include <exception>
#include <numeric>
#include <random>
#include <vector>

#include "global_memory.hpp"

namespace accel_kernels {

// Throws Broken.
void run(const accel_kernel_launch& launch);

// `one(first, count, memory)` runs cores first .. first + count - 1, which may meet.
template <class One>
void run_clusters(const accel_kernel_launch& launch, std::uint64_t granule, const One& one) {
  if (launch.cores == 0) broken("a launch on 0 cores");
  const std::uint32_t size = std::max(launch.cluster, 1u);
  if (launch.cores % size != 0) {
    broken("a launch on %u cores, which is no multiple of the %u of a cluster", launch.cores, size);
  }
  std::vector<std::uint32_t> order(launch.cores / size);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(launch.seed));
  GlobalMemory memory(launch);
  for (const std::uint32_t index : order) one(index * size, size, memory);
  memory.check_races(granule);
}

}  // namespace accel_kernels

#define ACCEL_KERNEL_EXPORT extern "C" __attribute__((visibility("default")))

ACCEL_KERNEL_EXPORT void* accel_kernel_in_regions(void* context, std::uint64_t address,
                                                  std::uint64_t bytes, int write, char* text,
                                                  std::size_t room) {
  const auto& all = *static_cast<const accel_kernel_regions*>(context);
  for (std::size_t i = 0; i < all.count; ++i) {
    const accel_kernel_region& region = all.regions[i];
    if (address < region.address || address - region.address >= region.bytes) continue;
    if (bytes > region.bytes - (address - region.address)) {
      std::snprintf(text, room, "it goes past the end of region %zu", i);
      return nullptr;
    }
    if (write != 0 && region.writable == 0) {
      std::snprintf(text, room, "region %zu is not to be written", i);
      return nullptr;
    }
    return static_cast<std::uint8_t*>(region.host) + (address - region.address);
  }
  std::snprintf(text, room, "no memory is there");
  return nullptr;
}

ACCEL_KERNEL_EXPORT int accel_kernel_run(const accel_kernel_launch* launch, char* text,
                                         std::size_t room) {
  try {
    accel_kernels::run(*launch);
    return 0;
  } catch (const std::exception& error) {
    std::snprintf(text, room, "%s", error.what());
    return 1;
  }
}
