// Transfers between the device and pinned host memory through staging memory on the device.
//
// The device's own kernels can read and write pinned memory ("direct": one launch, right for small
// and scattered transfers), but reach some 93 % of what its copy engines do. From some megabytes on,
// and where the host's side consists of long stretches, a kernel packs tokens into staging memory
// (or unpacks them from it) on a side stream, while a copy engine moves the stretches: in pieces,
// the one next to the kernel alone being small, so that little of the kernel's time shows.
#pragma once

#include <accel/kv_slots.hpp>

#include "movers.hpp"

namespace accel_cuda::kv {

// What decides between the two ways, and how pieces are cut. Defaults were measured on an H200 with
// PCIe 5; accel_cuda/kv.py reads them from the environment.
struct HostPolicy {
  std::int64_t staged_bytes = 12 << 20;      // from so many on, if stretches are long enough
  std::int64_t stretch_bytes = 192 << 10;    // mean length on the host from which copies pay
  std::int64_t first_bytes = 512 << 10;      // the smallest piece
  std::int64_t most_bytes = 8 << 20;         // the largest
};
HostPolicy set_host_policy(const HostPolicy& policy);  // returns the one before
HostPolicy host_policy();

enum class HostPath { Direct, Staged };

// Queues the transfer, if it should go this way; false when nothing was done. Pairs are checked. The
// GIL must be held.
bool transfer_staged(Pair& pair, const accel::SlotPairs& pairs, StreamHandle stream);

// What the last transfers took, for notes and tests: calls each way.
struct HostCounts {
  std::uint64_t direct = 0, staged = 0, pieces = 0, copies = 0;
};
HostCounts& host_counts();

}  // namespace accel_cuda::kv
