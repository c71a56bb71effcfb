#include "convert_plan.hpp"

#include <algorithm>

namespace accel_cuda::arith {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 30;

accel_quotient quotient(std::int64_t by) {
  return accel_quotient_by(static_cast<unsigned>(std::max<std::int64_t>(1, by)));
}

std::int64_t bytes_of(accel::NumberKind kind) {
  return static_cast<std::int64_t>(accel::size_of(kind));
}

accel_kv_paging times(accel_kv_paging paging, accel_i64 bytes) {
  paging.block_stride *= bytes;
  paging.slot_stride *= bytes;
  return paging;
}

accel_kv_plane times(accel_kv_plane plane, accel_i64 bytes) {
  plane.src = times(plane.src, bytes);
  plane.dst = times(plane.dst, bytes);
  plane.run_bytes *= bytes;
  for (accel_i64 i = 0; i < plane.ndim; ++i) {
    plane.src_stride[i] *= bytes;
    plane.dst_stride[i] *= bytes;
  }
  return plane;
}

accel_convert_paging paging_of(const accel_kv_paging& paging, std::int64_t size) {
  return {quotient(paging.block_size), paging.block_stride * size, paging.slot_stride * size};
}

// Elements that are contiguous on both sides and aligned as a whole.
std::int64_t chunk_of(const ElementPlane& plane) {
  const accel_kv_plane& p = plane.plan.plane;
  const std::int64_t src_size = bytes_of(plane.src), dst_size = bytes_of(plane.dst);
  std::uint64_t src = plane.src_bases, dst = plane.dst_bases;
  const auto add = [&](accel_i64 src_elements, accel_i64 dst_elements) {
    src |= static_cast<std::uint64_t>(src_elements * src_size);
    dst |= static_cast<std::uint64_t>(dst_elements * dst_size);
  };
  add(p.src.block_stride, p.dst.block_stride);
  add(p.src.block_size > 1 ? p.src.slot_stride : 0, p.dst.block_size > 1 ? p.dst.slot_stride : 0);
  for (accel_i64 i = 0; i < p.ndim; ++i) add(p.src_stride[i], p.dst_stride[i]);
  const std::int64_t most =
      std::min(ACCEL_CONVERT_LOADED / src_size, ACCEL_CONVERT_STORED / dst_size);
  for (std::int64_t chunk = most; chunk > 1; chunk /= 2) {
    if (p.run_bytes % chunk == 0 && src % static_cast<std::uint64_t>(chunk * src_size) == 0 &&
        dst % static_cast<std::uint64_t>(chunk * dst_size) == 0) {
      return chunk;
    }
  }
  return 1;
}

}  // namespace

accel_kv_plane ElementPlane::src_bytes() const { return times(plan.plane, bytes_of(src)); }
accel_kv_plane ElementPlane::dst_bytes() const { return times(plan.plane, bytes_of(dst)); }

unsigned ConvertLaunch::blocks(std::int64_t units) const {
  const int each = ACCEL_CONVERT_THREADS * ACCEL_CONVERT_TAKEN(variant.values[2]);
  return static_cast<unsigned>((units * items + each - 1) / each);
}

std::int64_t ConvertLaunch::most_units() const { return std::max<std::int64_t>(1, kMost / items); }

std::vector<ConvertLaunch> plan_convert(const std::vector<ElementPlane>& planes) {
  std::vector<ConvertLaunch> launches;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    const ElementPlane& plane = planes[i];
    const accel_kv_plane& p = plane.plan.plane;
    const std::int64_t src_size = bytes_of(plane.src), dst_size = bytes_of(plane.dst);
    const std::int64_t chunk = chunk_of(plane);
    const Variant variant = {kConvertElements,
                             {static_cast<int>(plane.src), static_cast<int>(plane.dst),
                              static_cast<int>(chunk * std::max(src_size, dst_size)), 0}};
    const auto alike = [&](const ConvertLaunch& launch) {
      return launch.variant.values == variant.values &&
             launch.planes.size() < ACCEL_CONVERT_PLANES;
    };
    auto found = std::find_if(launches.begin(), launches.end(), alike);
    if (found == launches.end()) {
      launches.emplace_back();
      found = launches.end() - 1;
      found->variant = variant;
    }
    accel_convert_plane& made = found->args.plane[found->planes.size()];
    found->planes.push_back(i);
    found->args.planes = static_cast<unsigned>(found->planes.size());
    made.base = static_cast<unsigned>(i);
    made.src = paging_of(p.src, src_size);
    made.dst = paging_of(p.dst, dst_size);
    made.dims = static_cast<unsigned>(p.ndim);
    for (accel_i64 d = 0; d < p.ndim; ++d) {
      made.dim[d] = {quotient(p.size[d]), p.src_stride[d] * src_size, p.dst_stride[d] * dst_size,
                     plane.plan.src_head[d], plane.plan.dst_head[d]};
    }
    const std::int64_t chunks = p.run_bytes / chunk;
    made.chunks = quotient(chunks);
    made.runs = quotient(p.runs);
    made.src_scale.number = made.dst_scale.number = 1.0f;
    found->items = std::max<std::int64_t>(found->items, p.runs * chunks);
  }
  return launches;
}

}  // namespace accel_cuda::arith
