#include "copy_batch.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "../runtime/copy_limits.hpp"
#include "../runtime/stream_progress.hpp"
#include "kernels/pieces_args.h"
#include "pinned.hpp"

namespace accel_cuda {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{16} << 10;  // what a block takes at a time

// Contiguous, and within reach of a kernel of the stream's device on both sides.
bool for_kernel(const PlacedPair& each, int device) {
  if (each.pair->plan != nullptr) return false;
  if (!each.dst.reachable_from(device) || !each.src.reachable_from(device)) return false;
  const bool host = each.dst.on_host() || each.src.on_host();
  const bool both = each.dst.on_host() && each.src.on_host();
  return both || each.pair->dst.nbytes <= (host ? copy_limits().batch_with_host
                                          : copy_limits().batch_on_device);
}

void add_pieces(const accel::CopyPair<accel::StridedPlan>& pair, std::vector<accel_piece>& pieces) {
  for (std::size_t at = 0; at < pair.dst.nbytes; at += kPieceBytes) {
    pieces.push_back({pair.dst.pointer + at, pair.src.pointer + at,
                      std::min(kPieceBytes, pair.dst.nbytes - at)});
  }
}

// The list in pinned memory, which the kernel reads; it is not used again before that has run.
void launch_list(Runtime& runtime, StreamHandle stream, const CopyKernels& kernels,
                 const std::vector<accel_piece>& pieces) {
  accel::PinnedPool& pool = CudaPinned::pool();
  const std::size_t nbytes = pieces.size() * sizeof(accel_piece);
  accel::PinnedBlock* block = nullptr;
  {
    pybind11::gil_scoped_release unlocked;
    block = pool.allocate(nbytes, -1, false);
  }
  std::memcpy(block->base, pieces.data(), nbytes);
  accel_pieces_args args{};
  args.list = reinterpret_cast<unsigned long long>(block->base);
  args.count = static_cast<unsigned>(pieces.size());
  try {
    Submission submission(runtime);
    kernels.launch_pieces(args, stream);
    pool.record_use(static_cast<std::uintptr_t>(args.list), nbytes,
                    DeviceProgress::of(runtime.device, stream)->point());
  } catch (...) {
    pool.free(block);
    throw;
  }
  pool.free(block);
}

// The list in the arguments, a few at a time: nothing outlives the call, so a graph can hold it.
void launch_inline(Runtime& runtime, StreamHandle stream, const CopyKernels& kernels,
                   const std::vector<accel_piece>& pieces) {
  accel_pieces_args args{};
  Submission submission(runtime);
  for (std::size_t at = 0; at < pieces.size(); at += ACCEL_PIECES_INLINE) {
    const std::size_t count = std::min<std::size_t>(ACCEL_PIECES_INLINE, pieces.size() - at);
    std::copy_n(pieces.begin() + static_cast<std::ptrdiff_t>(at), count, args.piece);
    args.count = static_cast<unsigned>(count);
    kernels.launch_pieces(args, stream);
  }
}

void launch_pieces(Runtime& runtime, StreamHandle stream, const std::vector<accel_piece>& pieces,
                   bool capturing) {
  if (pieces.empty()) return;
  const CopyKernels& kernels = CopyKernels::of(runtime.device);
  if (capturing || pieces.size() <= ACCEL_PIECES_INLINE) {
    launch_inline(runtime, stream, kernels, pieces);
  } else {
    launch_list(runtime, stream, kernels, pieces);
  }
}

// --- the driver's batches -----------------------------------------------------------------------

// Copies that the driver may take all at once: neither between devices nor with pageable memory.
bool for_driver(const PlacedPair& each, int device) {
  return each.pair->plan == nullptr && each.dst.reachable_from(device) &&
         each.src.reachable_from(device) && !(each.dst.on_host() && each.src.on_host());
}

// The driver refuses batches on the default streams, and in captures.
bool takes_batches(StreamHandle stream, bool capturing) {
  constexpr std::uintptr_t kLastDefaultStream = 2;
  return driver().memcpy_batch_async != nullptr && !capturing &&
         reinterpret_cast<std::uintptr_t>(stream) > kLastDefaultStream;
}

void give_to_driver(Runtime& runtime, StreamHandle stream, const std::vector<PlacedPair>& pairs) {
  std::vector<DevicePointer> dsts, srcs;
  std::vector<std::size_t> sizes;
  for (const PlacedPair& each : pairs) {
    dsts.push_back(each.pair->dst.pointer);
    srcs.push_back(each.pair->src.pointer);
    sizes.push_back(each.pair->dst.nbytes);
  }
  MemcpyAttributes attributes{};
  constexpr unsigned kInStreamOrder = 1;
  attributes.source_access_order = kInStreamOrder;
  std::size_t first = 0, failed = 0;
  Submission submission(runtime);
  ACCEL_CUDA_CALL(memcpy_batch_async, dsts.data(), srcs.data(), sizes.data(), sizes.size(),
                  &attributes, &first, 1, &failed, stream);
}

}  // namespace

void issue_batch(Runtime& runtime, StreamHandle stream, const std::vector<PlacedPair>& pairs) {
  CopyIssue issue(runtime, stream, "copy_batch");
  const int device = runtime.device.index;
  std::vector<accel_piece> pieces;
  std::vector<PlacedPair> engines;
  std::vector<PlacedPair> others;
  for (const PlacedPair& each : pairs) {
    if (for_kernel(each, device)) {
      add_pieces(*each.pair, pieces);
    } else if (for_driver(each, device)) {
      engines.push_back(each);
    } else {
      others.push_back(each);
    }
  }
  launch_pieces(runtime, stream, pieces, issue.capturing());
  if (engines.size() > 1 && takes_batches(stream, issue.capturing())) {
    give_to_driver(runtime, stream, engines);
  } else {
    others.insert(others.end(), engines.begin(), engines.end());
  }
  for (const PlacedPair& each : others) {
    const auto& pair = *each.pair;
    if (pair.plan != nullptr) {
      issue.strided(*pair.plan, pair.dst.pointer, each.dst, pair.src.pointer, each.src);
    } else {
      issue.flat(pair.dst.pointer, each.dst, pair.src.pointer, each.src, pair.dst.nbytes);
    }
  }
}

}  // namespace accel_cuda
