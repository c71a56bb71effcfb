#include "host_transfer.hpp"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "calls.hpp"
#include "copy_engine.hpp"
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

// The launch that moves one piece between the device and `staging`, or, where that is 0, the host's
// own memory at `direct`, of each base.
accel_copy_args piece_args(const StagedKind& kind, const Piece& piece, DevicePointer staging,
                           const std::vector<Address>& direct, bool to_host,
                           const PieceIndices& indices, unsigned* tiles, unsigned* shared_bytes) {
  CopyLaunch launch;
  launch.args.head.kinds = 1;
  launch.args.head.kind[0] = kind.kind.fields;
  launch.args.head.kind[0].first_base = 0;
  launch.args.head.kind[0].bases = static_cast<unsigned>(piece.bases);
  launch.unit_vectors[0] = kind.kind.unit_vectors;
  launch.tile_vectors[0] = kind.kind.tile_vectors;
  accel_copy_args args = launch.args;
  for (std::int64_t b = 0; b < piece.bases; ++b) {
    const auto at = static_cast<std::size_t>(kind.by_unit ? b : piece.base + b);
    BasePair base = kind.kind.bases[at];
    Address& staged = to_host ? base.dst : base.src;
    if (staging == 0) {
      staged += direct[static_cast<std::size_t>(kind.by_unit ? 0 : b)];
    } else {
      staged += staging;
      if (!kind.by_unit) staged += static_cast<Address>(b * piece.units * kind.unit_bytes);
    }
    args.words[2 * b] = base.src;
    args.words[2 * b + 1] = base.dst;
  }
  accel_copy_list& listed = to_host ? args.head.src : args.head.dst;
  accel_copy_list& counted = to_host ? args.head.dst : args.head.src;
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
  const std::int64_t places = (kind.kind.tile_vectors - 1) / kind.kind.place_vectors + 2;
  *shared_bytes = static_cast<unsigned>(16 * places);
  return args;
}

void launch_piece(Kernels& kernels, const StagedKind& kind, const Piece& piece,
                  DevicePointer staging, const std::vector<Address>& direct, bool to_host,
                  const PieceIndices& indices, StreamHandle stream) {
  unsigned blocks = 0, shared_bytes = 0;
  const accel_copy_args args =
      piece_args(kind, piece, staging, direct, to_host, indices, &blocks, &shared_bytes);
  const std::int64_t most = kernels.host_blocks * (staging == 0 ? 1 : policy.staging_blocks);
  launch(kernels.device, kernels.copy[kind.kind.kernel],
         {static_cast<unsigned>(std::min<std::int64_t>(blocks, most))}, ACCEL_COPY_THREADS,
         shared_bytes, stream, &args);
}

// The copies of a piece between staging memory and the host.
void copy_piece(const StagedKind& kind, const Piece& piece, DevicePointer staging, bool to_host,
                StreamHandle stream, EngineCopies* copies) {
  copies->clear();
  for (const HostCopy& copy : piece_copies(kind, piece)) {
    const DevicePointer at = staging + static_cast<DevicePointer>(copy.staging);
    copies->add(to_host ? copy.host : at, to_host ? at : copy.host,
                static_cast<std::size_t>(copy.bytes));
  }
  copies->send(stream, to_host);
  counts.copies += copies->size();
}

// Groups of units, by their first: of both sides, or of one each.
struct Units {
  std::vector<std::int64_t> src, dst;
  Units(const accel::SlotPairs& pairs, std::int64_t group) {
    for (std::size_t i = 0; i < pairs.src.size(); i += static_cast<std::size_t>(group)) {
      src.push_back(pairs.src[i]);
      dst.push_back(pairs.dst[i]);
    }
  }
};

// The work of a call on the device's default streams goes to a stream of the lane where there are
// batches of copies, which need one; it is in order with what comes before and after all the same.
class OnLane {
 public:
  OnLane(HostLane& lane, StreamHandle given, bool batched)
      : lane_(lane), given_(given), used_(given) {
    if (!batched || !is_default_stream(given)) return;
    used_ = lane.copies();
    lane.order(given, used_);
  }
  StreamHandle stream() const { return used_; }
  void join() {
    if (used_ != given_) lane_.order(used_, given_);
  }

 private:
  HostLane& lane_;
  const StreamHandle given_;
  StreamHandle used_;
};

std::unique_lock<std::mutex> lock_lane(HostLane& lane) {
  std::unique_lock<std::mutex> lock(lane.mutex, std::try_to_lock);
  if (!lock) {
    pybind11::gil_scoped_release unlocked;
    lock.lock();
  }
  return lock;
}

bool transfer_batched(Pair& pair, const std::vector<accel_kv_plane>& planes, const Units& units,
                      bool to_host, StreamHandle stream) {
  EngineCopies copies;
  copies.reserve(units.src.size() * pair.src.size());
  for (std::size_t base = 0; base < pair.src.size(); ++base) {
    const accel_kv_plane& plane = planes[base % planes.size()];
    for (std::size_t i = 0; i < units.src.size(); ++i) {
      const Address src = pair.src[base] + static_cast<Address>(
                                               accel_kv_unit_offset(&plane.src, units.src[i]));
      const Address dst = pair.dst[base] + static_cast<Address>(
                                               accel_kv_unit_offset(&plane.dst, units.dst[i]));
      for (accel_i64 run = 0; run < plane.runs; ++run) {
        accel_i64 from, to;
        accel_kv_run_offsets(&plane, run, &from, &to);
        copies.add(dst + static_cast<Address>(to), src + static_cast<Address>(from),
                   static_cast<std::size_t>(plane.run_bytes));
      }
    }
  }
  HostLane& lane = to_host ? pair.kernels.to_host : pair.kernels.from_host;
  const std::unique_lock<std::mutex> lock = lock_lane(lane);
  const Submission submission(pair.kernels.runtime);
  OnLane on(lane, stream, true);
  copies.send(on.stream(), to_host);
  on.join();
  counts.copies += copies.size();
  ++counts.batched;
  return true;
}

bool transfer_staged(Pair& pair, const std::vector<accel_kv_plane>& planes, const Units& units,
                     bool to_host, StreamHandle stream) {
  const std::vector<std::int64_t>& device_slots = to_host ? units.src : units.dst;
  const std::vector<std::int64_t>& host_slots = to_host ? units.dst : units.src;
  const auto count = static_cast<std::int64_t>(device_slots.size());
  const std::vector<std::uintptr_t>& tensors =
      (to_host ? pair.dst_memory : pair.src_memory).tensors;
  const std::vector<StagedKind> kinds = staged_kinds(pair.layers, planes, pair.src, pair.dst, to_host,
                                                     host_slots, {tensors.begin(), tensors.end()});
  const std::vector<Piece> pieces =
      cut_pieces(kinds, count, {policy.first_bytes, policy.most_bytes, policy.growth}, !to_host);
  std::int64_t stretches = 0, bytes = 0, most_bases = 0, most_units = 0;
  bool fits = !pieces.empty(), batched = false;
  for (const Piece& piece : pieces) {
    const std::size_t copies = piece_copies(kinds[piece.kind], piece).size();
    batched = batched || copies > 1;
    stretches += static_cast<std::int64_t>(copies);
    bytes += piece.bytes;
    most_bases = std::max(most_bases, piece.bases);
    most_units = std::max(most_units, piece.units);
    fits = fits && piece.bytes <= static_cast<std::int64_t>(HostLane::kStagingBytes) / 2;
  }
  const std::int64_t least = !EngineCopies::batches() ? policy.single_stretch_bytes
                             : to_host                ? policy.out_stretch_bytes
                                                      : policy.stretch_bytes;
  if (!fits || bytes / stretches < least) return false;

  Kernels& kernels = pair.kernels;
  HostLane& lane = to_host ? kernels.to_host : kernels.from_host;
  PieceIndices indices;
  indices.bound = to_host ? pair.src_units : pair.dst_units;
  const Current current(kernels.device);
  std::optional<IndexUploads::Slab> slab;
  const bool narrow = indices.bound < (std::int64_t{1} << 31);
  const auto index_bytes = static_cast<std::size_t>(count * kIndexBytes);
  if (narrow && 4 * most_bases + most_units <= 2 * ACCEL_COPY_WORDS) {
    indices.here = &device_slots;
  } else {
    slab.emplace(kernels.uploads, index_bytes, stream);
    std::memcpy(slab->host(), device_slots.data(), index_bytes);
    indices.uploaded = slab->device();
  }
  {
    const std::unique_lock<std::mutex> lock = lock_lane(lane);
    const Submission submission(kernels.runtime);
    const StreamHandle side = lane.side();
    EngineCopies copies;
    if (slab) slab->send(index_bytes);
    OnLane on(lane, stream, batched);
    lane.order(on.stream(), side);
    const Piece& end = to_host ? pieces.front() : pieces.back();
    const std::vector<Address> direct = host_places(kinds[end.kind], end);
    for (const Piece& piece : pieces) {
      const StagedKind& kind = kinds[piece.kind];
      if (&piece == &end && !direct.empty()) {
        launch_piece(kernels, kind, piece, 0, direct, to_host, indices, on.stream());
        ++counts.pieces;
        ++counts.ends;
        continue;
      }
      const DevicePointer staging =
          lane.take(static_cast<std::size_t>(piece.bytes), to_host ? side : on.stream());
      if (!to_host) {
        copy_piece(kind, piece, staging, false, on.stream(), &copies);
        lane.order(on.stream(), side);
      }
      launch_piece(kernels, kind, piece, staging, {}, to_host, indices, side);
      if (to_host) {
        lane.order(side, on.stream());
        copy_piece(kind, piece, staging, true, on.stream(), &copies);
      }
      lane.give(to_host ? on.stream() : side);
      ++counts.pieces;
    }
    if (!to_host) lane.order(side, on.stream());
    on.join();
  }
  ++counts.staged;
  return true;
}

}  // namespace

HostPolicy set_host_policy(const HostPolicy& wanted) {
  const HostPolicy before = policy;
  policy = wanted;
  return before;
}

HostPolicy host_policy() { return policy; }

HostCounts& host_counts() { return counts; }

bool transfer_by_engine(Pair& pair, const accel::SlotPairs& pairs, StreamHandle stream) {
  const auto bytes = pair.unit_bytes * static_cast<std::int64_t>(pairs.src.size());
  const bool to_host = pair.dst_on_host;
  // Staging memory is used in turn by calls, which a graph that is replayed would not know of, and
  // batches are refused in a capture.
  if (pair.src_on_host == to_host || is_capturing(stream) ||
      bytes < std::min(policy.batched_bytes, policy.staged_bytes)) {
    ++counts.direct;
    return false;
  }
  const std::int64_t group = common_group(pairs, pair.planes, kMostGroup);
  std::vector<accel_kv_plane> planes;
  for (const accel_kv_plane& plane : pair.planes) planes.push_back(group_units(plane, group));
  const Units units(pairs, group);
  std::int64_t shortest = INT64_MAX;
  for (const accel_kv_plane& plane : planes) shortest = std::min<std::int64_t>(shortest, plane.run_bytes);
  if (EngineCopies::batches() && bytes >= policy.batched_bytes &&
      shortest >= policy.batched_run_bytes) {
    return transfer_batched(pair, planes, units, to_host, stream);
  }
  if (bytes >= policy.staged_bytes && transfer_staged(pair, planes, units, to_host, stream)) {
    return true;
  }
  ++counts.direct;
  return false;
}

}  // namespace accel_cuda::kv
