#include "host_transfer.hpp"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "calls.hpp"
#include "stretches.hpp"

namespace accel_cuda::kv {
namespace {

HostPolicy policy;
HostCounts counts;

constexpr std::int64_t kMostGroup = 256;
constexpr std::int64_t kIndexBytes = 8;

// Addresses of the device's slots, for launches over parts of them.
struct PieceIndices {
  const std::vector<std::int64_t>* here = nullptr;  // in the arguments, if they fit
  DevicePointer uploaded = 0;
  std::int64_t bound = 0;
};

// The launch that moves one piece between the device and `staging`.
accel_copy_args piece_args(const StagedKind& kind, const Piece& piece, DevicePointer staging,
                           bool to_host, const PieceIndices& indices, unsigned* tiles) {
  CopyLaunch launch;
  launch.args.kinds = 1;
  launch.args.kind[0] = kind.kind.fields;
  launch.args.kind[0].first_base = 0;
  launch.args.kind[0].bases = static_cast<unsigned>(piece.bases);
  launch.unit_vectors[0] = kind.kind.unit_vectors;
  launch.tile_vectors[0] = kind.kind.tile_vectors;
  accel_copy_args args = launch.args;
  for (std::int64_t b = 0; b < piece.bases; ++b) {
    const auto at = static_cast<std::size_t>(kind.by_unit ? b : piece.base + b);
    BasePair base = kind.kind.bases[at];
    Address& staged = to_host ? base.dst : base.src;
    staged += staging;
    if (!kind.by_unit) staged += static_cast<Address>(b * piece.units * kind.unit_bytes);
    args.words[2 * b] = base.src;
    args.words[2 * b + 1] = base.dst;
  }
  accel_copy_list& listed = to_host ? args.src : args.dst;
  accel_copy_list& counted = to_host ? args.dst : args.src;
  counted.form = ACCEL_COPY_COUNTED;
  counted.bound = piece.units;
  listed.bound = indices.bound;
  listed.stride = 1;
  if (indices.here != nullptr) {
    const std::int64_t at = 4 * piece.bases;
    auto* const words = reinterpret_cast<std::int32_t*>(args.words) + at;
    for (std::int64_t i = 0; i < piece.units; ++i) {
      words[i] =
          static_cast<std::int32_t>((*indices.here)[static_cast<std::size_t>(piece.unit + i)]);
    }
    listed.form = ACCEL_COPY_HERE;
    listed.data = static_cast<std::uint64_t>(at);
  } else {
    listed.form = ACCEL_COPY_INT64;
    listed.data = indices.uploaded + static_cast<DevicePointer>(piece.unit * kIndexBytes);
  }
  *tiles = launch.size(&args, piece.units);
  return args;
}

// Host memory of a mapped address: the same, where the device has one address space with the host.
void copy_piece(const StagedKind& kind, const Piece& piece, DevicePointer staging, bool to_host,
                StreamHandle stream) {
  for (const HostCopy& copy : piece_copies(kind, piece)) {
    const auto bytes = static_cast<std::size_t>(copy.bytes);
    const DevicePointer at = staging + static_cast<DevicePointer>(copy.staging);
    void* const host = reinterpret_cast<void*>(copy.host);
    if (to_host) {
      ACCEL_CUDA_CALL(memcpy_to_host_async, host, at, bytes, stream);
    } else {
      ACCEL_CUDA_CALL(memcpy_to_device_async, at, host, bytes, stream);
    }
    ++counts.copies;
  }
}

}  // namespace

HostPolicy set_host_policy(const HostPolicy& wanted) {
  const HostPolicy before = policy;
  policy = wanted;
  return before;
}

HostPolicy host_policy() { return policy; }

HostCounts& host_counts() { return counts; }

bool transfer_staged(Pair& pair, const accel::SlotPairs& pairs, StreamHandle stream) {
  const auto bytes = pair.unit_bytes * static_cast<std::int64_t>(pairs.src.size());
  const bool to_host = pair.dst_on_host;
  // Staging memory is used in turn by calls, which a graph that is replayed would not know of.
  if (pair.src_on_host == to_host || bytes < policy.staged_bytes || is_capturing(stream)) {
    ++counts.direct;
    return false;
  }
  const std::int64_t group = common_group(pairs, pair.planes, kMostGroup);
  std::vector<accel_kv_plane> planes;
  for (const accel_kv_plane& plane : pair.planes) planes.push_back(group_units(plane, group));
  std::vector<std::int64_t> device_slots, host_slots;
  for (std::size_t i = 0; i < pairs.src.size(); i += static_cast<std::size_t>(group)) {
    (to_host ? device_slots : host_slots).push_back(pairs.src[i]);
    (to_host ? host_slots : device_slots).push_back(pairs.dst[i]);
  }
  const auto units = static_cast<std::int64_t>(device_slots.size());
  const std::vector<StagedKind> kinds =
      staged_kinds(pair.layers, planes, pair.src, pair.dst, to_host, host_slots);
  const std::vector<Piece> pieces =
      cut_pieces(kinds, units, policy.first_bytes, policy.most_bytes, !to_host);
  std::int64_t stretches = 0, most_bases = 0, most_units = 0;
  bool fits = !pieces.empty();
  for (const Piece& piece : pieces) {
    stretches += static_cast<std::int64_t>(piece_copies(kinds[piece.kind], piece).size());
    most_bases = std::max(most_bases, piece.bases);
    most_units = std::max(most_units, piece.units);
    fits = fits && piece.bytes <= static_cast<std::int64_t>(HostLane::kStagingBytes) / 2;
  }
  if (!fits || bytes / stretches < policy.stretch_bytes) {
    ++counts.direct;
    return false;
  }

  Kernels& kernels = pair.kernels;
  HostLane& lane = to_host ? kernels.to_host : kernels.from_host;
  PieceIndices indices;
  indices.bound = to_host ? pair.src_units : pair.dst_units;
  UploadSlab* slab = nullptr;
  const Current current(kernels.device);
  const bool narrow = indices.bound < (std::int64_t{1} << 31);
  const auto index_bytes = static_cast<std::size_t>(units * kIndexBytes);
  if (narrow && 4 * most_bases + most_units <= 2 * ACCEL_COPY_WORDS) {
    indices.here = &device_slots;
  } else {
    slab = kernels.uploads.take(index_bytes, stream);
    std::memcpy(slab->host, device_slots.data(), index_bytes);
    indices.uploaded = slab->device;
  }
  std::unique_lock<std::mutex> lock(lane.mutex, std::try_to_lock);
  if (!lock) {
    pybind11::gil_scoped_release unlocked;
    lock.lock();
  }
  {
    const Submission submission(kernels.runtime);
    const StreamHandle side = lane.side();
    if (slab != nullptr) IndexUploads::send(*slab, index_bytes, stream);
    lane.order(stream, side);
    for (const Piece& piece : pieces) {
      const StagedKind& kind = kinds[piece.kind];
      const DevicePointer staging =
          lane.take(static_cast<std::size_t>(piece.bytes), to_host ? side : stream);
      if (!to_host) {
        copy_piece(kind, piece, staging, false, stream);
        lane.order(stream, side);
      }
      unsigned blocks = 0;
      const accel_copy_args args = piece_args(kind, piece, staging, to_host, indices, &blocks);
      launch(kernels.device, kernels.copy[kind.kind.kernel],
             {std::min(blocks, kernels.host_blocks)}, ACCEL_COPY_THREADS, 0, side, &args);
      if (to_host) {
        lane.order(side, stream);
        copy_piece(kind, piece, staging, true, stream);
      }
      lane.give(to_host ? stream : side);
      ++counts.pieces;
    }
    if (!to_host) lane.order(side, stream);
  }
  lock.unlock();
  if (slab != nullptr) kernels.uploads.give(slab, stream);
  ++counts.staged;
  return true;
}

}  // namespace accel_cuda::kv
