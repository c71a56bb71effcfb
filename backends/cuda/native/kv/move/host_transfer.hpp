// Transfers between the device and pinned host memory by the copy engines.
//
// Direct: the device's own kernels read and write pinned memory. One launch, right for small and
// scattered transfers, but some 93 % of what the copy engines reach.
// Batched: the copy engines move what is contiguous on both sides, all of it in one driver call, as
// fast as one long copy, and no multiprocessor is used.
// Staged: where only the host's side has long stretches, a kernel packs tokens into staging memory
// (or unpacks them from it) on a side stream, while the copy engines move the stretches, in pieces.
// The piece whose kernel nothing would hide, the first to the host or the last from it, is small,
// and where it can be a kernel moves it directly, while another packs the next (unpacks the last).
#pragma once

#include <accel/kv_slots.hpp>

#include "movers.hpp"

namespace accel_cuda::kv {

// What decides between the two ways, and how pieces are cut. Defaults were measured on an H200 with
// PCIe 5; accel_cuda/kv.py reads them from the environment.
struct HostPolicy {
  std::int64_t batched_bytes = 2 << 20;      // batched from so many on,
  std::int64_t batched_run_bytes = 128 << 10;  // if runs are this long on both sides: a copy costs
                                               // the host 0.4 to 0.8 us, in which 22 to 44 kB move
  std::int64_t staged_bytes = 12 << 20;      // staged from so many on,
  std::int64_t stretch_bytes = 64 << 10;     // if stretches on the host are this long, or
  std::int64_t out_stretch_bytes = 512 << 10;  // this long to the host: kernels are faster below
  std::int64_t single_stretch_bytes = 2 << 20;  // the same where the driver has no batches
  std::int64_t first_bytes = 512 << 10;      // the smallest piece; each copy costs some 3 us, and
  std::int64_t growth = 8;                   // kernels are more than 8 times as fast as copies,
  std::int64_t most_bytes = 32 << 20;        // so that pieces may grow fast up to the largest, of
                                             // which staging memory must hold three at a time
  std::int64_t staging_blocks = 4;           // blocks of a kernel within the device, for one that
                                             // reads or writes the host's memory
};
HostPolicy set_host_policy(const HostPolicy& policy);  // returns the one before
HostPolicy host_policy();

// Queues the transfer, if the copy engines should do it; false when nothing was done. Pairs are
// checked. The GIL must be held.
bool transfer_by_engine(Pair& pair, const accel::SlotPairs& pairs, StreamHandle stream);

// What the last transfers took, for notes and tests: calls each way, and of those that were staged
// pieces, with the ends that a kernel moved directly, and the engines' copies.
struct HostCounts {
  std::uint64_t direct = 0, batched = 0, staged = 0, pieces = 0, ends = 0, copies = 0;
};
HostCounts& host_counts();

}  // namespace accel_cuda::kv
