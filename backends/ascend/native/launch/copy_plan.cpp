#include "copy_plan.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace accel_ascend::launch {
namespace {

constexpr std::int64_t kAligned = 32;          // bytes that two cores must not share
constexpr std::int64_t kTaskBytes = 64 << 10;  // of a core at a time
constexpr std::int64_t kMostTaskUnits = 1024;
constexpr std::int64_t kGroupBytes = 4096;     // of a flat destination, at least
constexpr std::size_t kMostPairs = 512;        // of bases, in one launch

std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

// Of an index that travels with a launch.
std::int64_t index_bytes(std::int64_t bound) { return bound <= INT32_MAX ? 4 : 8; }

bool all_aligned(const accel_kv_plane& plane) {
  std::int64_t bits = plane.run_bytes | plane.dst.block_stride;
  if (plane.dst.block_size > 1) bits |= plane.dst.slot_stride;
  for (std::int64_t i = 0; i < plane.ndim; ++i) bits |= plane.dst_stride[i];
  return bits % kAligned == 0;
}

bool increasing(const accel_kv_plane& plane) {
  if (plane.dst.block_stride < 0 || plane.dst.slot_stride < 0) return false;
  return std::all_of(plane.dst_stride, plane.dst_stride + plane.ndim,
                     [](std::int64_t stride) { return stride >= 0; });
}

// Bytes from the beginning of a block of units to its end.
std::int64_t extent(const accel_kv_plane& plane) {
  std::int64_t bytes = plane.run_bytes;
  for (std::int64_t i = 0; i < plane.ndim; ++i) bytes += (plane.size[i] - 1) * plane.dst_stride[i];
  if (plane.dst.block_size > 1) bytes += (plane.dst.block_size - 1) * plane.dst.slot_stride;
  return bytes;
}

// One base's groups: the first lies in [begin, end), and one follows every `step` bytes.
struct Groups {
  std::int64_t begin, end, step;
};

// Whether two of the groups k = 0 .. count - 1 of either base meet, leaving aside equal k.
bool meet(const Groups& a, const Groups& b, std::int64_t count) {
  if (a.step != b.step) {
    const std::int64_t a_end = a.end + (count - 1) * a.step, b_end = b.end + (count - 1) * b.step;
    return a.begin < b_end && b.begin < a_end;
  }
  // a's group k + d meets b's group k when (b.begin - a.end, b.end - a.begin) holds d * step.
  const auto floor = [](std::int64_t n, std::int64_t by) {
    return n / by - (n % by != 0 && n < 0 ? 1 : 0);
  };
  const std::int64_t least = std::max(floor(b.begin - a.end, a.step) + 1, 1 - count);
  const std::int64_t most = std::min(floor(b.end - a.begin - 1, a.step), count - 1);
  return least <= most && !(least == 0 && most == 0);
}

}  // namespace

std::int64_t IndexArgument::at(std::int64_t i) const {
  if (where == Where::Counted) return i;
  if (wide) return reinterpret_cast<const std::int64_t*>(data)[i * stride];
  return reinterpret_cast<const std::int32_t*>(data)[i * stride];
}

CopyPlan::CopyPlan(std::int64_t layers, std::vector<accel_kv_plane> planes,
                   std::vector<Address> src, std::vector<Address> dst, std::int64_t src_units,
                   std::int64_t dst_units)
    : planes_(std::move(planes)),
      src_(std::move(src)),
      dst_(std::move(dst)),
      src_units_(src_units),
      dst_units_(dst_units) {
  if (planes_.empty() || planes_.size() > ACCEL_ASCEND_PLANES) {
    throw std::invalid_argument("a copy has 1 to 16 planes");
  }
  const std::size_t bases = static_cast<std::size_t>(layers) * planes_.size();
  if (src_.size() != bases || dst_.size() != bases) {
    throw std::invalid_argument("a copy has an address for each layer and plane of both sides");
  }
  choose_group();
}

std::int64_t CopyPlan::unit_bytes() const {
  std::int64_t bytes = 0;
  for (const accel_kv_plane& plane : planes_) bytes += plane.run_bytes * plane.runs;
  return bytes * static_cast<std::int64_t>(dst_.size() / planes_.size());
}

void CopyPlan::choose_group() {
  const bool bases_aligned = std::all_of(dst_.begin(), dst_.end(),
                                         [](Address base) { return base % kAligned == 0; });
  if (bases_aligned && std::all_of(planes_.begin(), planes_.end(), all_aligned)) return;
  group_ = -1;
  if (!std::all_of(planes_.begin(), planes_.end(), increasing)) return;
  const std::int64_t size = planes_[0].dst.block_size;
  std::int64_t blocks = 1;  // of a group: whole aligned 32 bytes, in every plane
  for (const accel_kv_plane& plane : planes_) {
    if (plane.dst.block_size != size || plane.dst.block_stride == 0) return;
    const std::int64_t stride = plane.dst.block_stride;
    blocks = std::max(blocks, kAligned / std::gcd(kAligned, stride));
  }
  if (size == 1) {
    const std::int64_t bytes = blocks * planes_[0].dst.block_stride;
    if (bytes < kGroupBytes) blocks *= (kGroupBytes + bytes - 1) / bytes;
  }
  const std::int64_t groups = (dst_units_ + blocks * size - 1) / (blocks * size);
  if (groups > 1 && groups_are_apart(blocks, groups)) group_ = blocks * size;
}

bool CopyPlan::groups_are_apart(std::int64_t blocks, std::int64_t count) const {
  std::vector<Groups> all;
  for (std::size_t i = 0; i < dst_.size(); ++i) {
    const accel_kv_plane& plane = planes_[i % planes_.size()];
    const std::int64_t begin = static_cast<std::int64_t>(dst_[i]);
    const std::int64_t end = begin + (blocks - 1) * plane.dst.block_stride + extent(plane);
    all.push_back({begin / kAligned * kAligned, round_up(end, kAligned),
                   blocks * plane.dst.block_stride});
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      if (meet(all[i], all[j], count)) return false;
    }
  }
  return true;
}

void CopyPlan::pack(const CopyCall& call, const Each& each) const {
  if (call.units == 0) return;
  const std::size_t pairs = kMostPairs / planes_.size() * planes_.size();
  for (std::size_t first = 0; first < dst_.size(); first += pairs) {
    const std::size_t bases = std::min(pairs, dst_.size() - first);
    const std::int64_t taken = static_cast<std::int64_t>(
        sizeof(accel_ascend_copy_args) + planes_.size() * sizeof(accel_kv_plane) + bases * 16);
    std::int64_t each_unit = 0;  // bytes of indices that travel with the launch
    if (call.src.where == IndexArgument::Where::Host) each_unit += index_bytes(src_units_);
    if (call.dst.where == IndexArgument::Where::Host) each_unit += index_bytes(dst_units_);
    const std::int64_t most =
        each_unit == 0 ? call.units : (ACCEL_ASCEND_ARGS_BYTES - taken - 8) / each_unit;
    for (std::int64_t begin = 0; begin < call.units; begin += most) {
      pack_part(call, first, bases, begin, std::min(call.units, begin + most), each);
    }
  }
}

void CopyPlan::pack_part(const CopyCall& call, std::size_t first_base, std::size_t bases,
                         std::int64_t begin, std::int64_t end, const Each& each) const {
  std::vector<std::uint8_t> bytes(sizeof(accel_ascend_copy_args));
  const auto append = [&](const void* data, std::size_t size) {
    const auto* const from = static_cast<const std::uint8_t*>(data);
    bytes.insert(bytes.end(), from, from + size);
  };
  accel_ascend_copy_args args = {};
  args.units = end - begin;
  args.first = begin;
  args.bases = static_cast<std::int64_t>(bases);
  args.planes = static_cast<std::int64_t>(planes_.size());
  args.fault = call.fault;
  args.fault_kind = call.fault_kind;
  args.count = call.count;
  args.planes_at = static_cast<std::int64_t>(bytes.size());
  append(planes_.data(), planes_.size() * sizeof(accel_kv_plane));
  args.bases_at = static_cast<std::int64_t>(bytes.size());
  for (std::size_t i = first_base; i < first_base + bases; ++i) {
    append(&src_[i], sizeof(Address));
    append(&dst_[i], sizeof(Address));
  }
  const struct {
    const IndexArgument& given;
    accel_ascend_list& list;
    std::int64_t bound;
  } sides[] = {{call.src, args.src, src_units_}, {call.dst, args.dst, dst_units_}};
  for (const auto& [given, list, bound] : sides) {
    list.stride = given.stride;
    list.bound = bound;
    list.argument = given.argument;
    if (given.where == IndexArgument::Where::Device) {
      const std::int64_t size = given.wide ? 8 : 4;
      list.form = given.wide ? ACCEL_ASCEND_INT64 : ACCEL_ASCEND_INT32;
      list.data = given.data + static_cast<Address>(begin * given.stride * size);
    } else if (given.where == IndexArgument::Where::Host) {
      list.stride = 1;
      const bool narrow = index_bytes(bound) == 4;
      list.form = narrow ? ACCEL_ASCEND_HERE32 : ACCEL_ASCEND_HERE64;
      list.data = bytes.size();
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t index = std::max<std::int64_t>(given.at(i), -1);
        const auto little = static_cast<std::int32_t>(std::min<std::int64_t>(index, INT32_MAX));
        if (narrow) {
          append(&little, sizeof little);
        } else {
          append(&index, sizeof index);
        }
      }
      bytes.resize(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(bytes.size()), 8)));
    }
  }
  std::int64_t unit = 1;  // bytes of one base
  for (const accel_kv_plane& plane : planes_) {
    unit = std::max<std::int64_t>(unit, plane.run_bytes * plane.runs);
  }
  const std::int64_t most = std::min<std::int64_t>(kMostTaskUnits, args.units);
  args.task_units = std::clamp<std::int64_t>(kTaskBytes / unit, 1, most);
  args.group = std::max<std::int64_t>(group_, 0);
  const std::int64_t parts =
      group_ > 0 ? (dst_units_ + group_ - 1) / group_
                 : (args.units + args.task_units - 1) / args.task_units * args.bases;
  const std::int64_t cores = one_core() ? 1 : std::clamp<std::int64_t>(parts, 1, call.cores);
  std::memcpy(bytes.data(), &args, sizeof args);
  each(static_cast<std::uint32_t>(cores), bytes);
}

}  // namespace accel_ascend::launch
