// How the units of a KV copy are divided among cores that must not write the same granule of bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kv_address.h"

namespace accel {

// The group of accel_kv_copy_args: 0 where no two units or bases share a granule of the destination,
// -1 where nothing can be divided, else indices of a group.
class KvCopyGroups {
 public:
  using Address = std::uint64_t;

  // `dst` is [layer * planes.size() + plane]; a granule is `granule` aligned bytes.
  static std::int64_t choose(const std::vector<accel_kv_plane>& planes,
                             const std::vector<Address>& dst, std::int64_t dst_units,
                             std::int64_t granule) {
    return KvCopyGroups(planes, dst, granule).choose(dst_units);
  }

 private:
  static constexpr std::int64_t kGroupBytes = 4096;  // of a flat destination, at least

  // One base's groups: the first lies in [begin, end), and one follows every `step` bytes.
  struct Groups {
    std::int64_t begin, end, step;
  };

  KvCopyGroups(const std::vector<accel_kv_plane>& planes, const std::vector<Address>& dst,
               std::int64_t granule)
      : planes_(planes), dst_(dst), granule_(granule) {}

  std::int64_t choose(std::int64_t dst_units) const {
    const auto whole = [&](Address base) {
      return base % static_cast<Address>(granule_) == 0;
    };
    const auto aligned = [&](const accel_kv_plane& plane) { return all_aligned(plane); };
    if (std::all_of(dst_.begin(), dst_.end(), whole) &&
        std::all_of(planes_.begin(), planes_.end(), aligned)) {
      return 0;
    }
    if (!std::all_of(planes_.begin(), planes_.end(), increasing)) return -1;
    const std::int64_t size = planes_[0].dst.block_size;
    std::int64_t blocks = 1;  // of a group: whole granules, in every plane
    for (const accel_kv_plane& plane : planes_) {
      if (plane.dst.block_size != size || plane.dst.block_stride == 0) return -1;
      const std::int64_t stride = plane.dst.block_stride;
      blocks = std::max(blocks, granule_ / std::gcd(granule_, stride));
    }
    if (size == 1) {
      const std::int64_t bytes = blocks * planes_[0].dst.block_stride;
      if (bytes < kGroupBytes) blocks *= (kGroupBytes + bytes - 1) / bytes;
    }
    const std::int64_t groups = (dst_units + blocks * size - 1) / (blocks * size);
    return groups > 1 && are_apart(blocks, groups) ? blocks * size : -1;
  }

  bool all_aligned(const accel_kv_plane& plane) const {
    std::int64_t bits = plane.run_bytes | plane.dst.block_stride;
    if (plane.dst.block_size > 1) bits |= plane.dst.slot_stride;
    for (std::int64_t i = 0; i < plane.ndim; ++i) bits |= plane.dst_stride[i];
    return bits % granule_ == 0;
  }

  static bool increasing(const accel_kv_plane& plane) {
    if (plane.dst.block_stride < 0 || plane.dst.slot_stride < 0) return false;
    return std::all_of(plane.dst_stride, plane.dst_stride + plane.ndim,
                       [](std::int64_t stride) { return stride >= 0; });
  }

  // Bytes from the beginning of a block of units to its end.
  static std::int64_t extent(const accel_kv_plane& plane) {
    std::int64_t bytes = plane.run_bytes;
    for (std::int64_t i = 0; i < plane.ndim; ++i) {
      bytes += (plane.size[i] - 1) * plane.dst_stride[i];
    }
    if (plane.dst.block_size > 1) bytes += (plane.dst.block_size - 1) * plane.dst.slot_stride;
    return bytes;
  }

  // Whether two of the groups k = 0 .. count - 1 of either base meet, leaving aside equal k.
  static bool meet(const Groups& a, const Groups& b, std::int64_t count) {
    if (a.step != b.step) {
      const std::int64_t a_end = a.end + (count - 1) * a.step;
      const std::int64_t b_end = b.end + (count - 1) * b.step;
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

  bool are_apart(std::int64_t blocks, std::int64_t count) const {
    std::vector<Groups> all;
    for (std::size_t i = 0; i < dst_.size(); ++i) {
      const accel_kv_plane& plane = planes_[i % planes_.size()];
      const std::int64_t begin = static_cast<std::int64_t>(dst_[i]);
      const std::int64_t end = begin + (blocks - 1) * plane.dst.block_stride + extent(plane);
      all.push_back({begin / granule_ * granule_, (end + granule_ - 1) / granule_ * granule_,
                     blocks * plane.dst.block_stride});
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        if (meet(all[i], all[j], count)) return false;
      }
    }
    return true;
  }

  const std::vector<accel_kv_plane>& planes_;
  const std::vector<Address>& dst_;
  const std::int64_t granule_;
};

}  // namespace accel
