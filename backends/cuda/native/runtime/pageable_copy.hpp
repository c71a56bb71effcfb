// Large copies between a device and pageable host memory: by several threads, each of which copies
// parts through pinned memory of its own. The driver does it on one thread, at 6 to 10 GB/s.
#pragma once

#include <accel/pinned_pool.hpp>

#include <cstddef>
#include <cstdint>

#include "../driver/device.hpp"

namespace accel_cuda {

// From this size on it is worth the threads.
constexpr std::size_t kPageableInParts = std::size_t{8} << 20;

// Returns when all of `src` was read, or all of `dst` was written; the device's part is in the
// stream's order, behind the work that it has. Blocks; needs no GIL. The stream must not be
// captured. What staging memory was used waits in the pool for the stream.
void copy_from_pageable(const Device& device, StreamHandle stream, accel::PinnedPool& pool,
                        DevicePointer dst, const char* src, std::size_t nbytes);
void copy_to_pageable(const Device& device, StreamHandle stream, accel::PinnedPool& pool, char* dst,
                      DevicePointer src, std::size_t nbytes);

}  // namespace accel_cuda
