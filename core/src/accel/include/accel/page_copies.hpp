// A transfer between two caches as pitched copies: whole pages, all layers at once where one step
// leads from each to the next. Knows addresses and strides only: no Python, no device.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "kv_address.h"
#include "strided_plan.hpp"

namespace accel {

// One call: `height` rows of `width` bytes; 1 where the copy is flat.
struct PitchedCopy {
  std::uintptr_t dst, src;
  std::size_t dst_pitch, src_pitch, width, height;
};

class PageCopies {
 public:
  // Addresses are [layer * planes.size() + plane].
  PageCopies(std::int64_t layers, const std::vector<accel_kv_plane>& planes,
             const std::vector<std::uintptr_t>& src, const std::vector<std::uintptr_t>& dst);

  // The copies of units src[i] to dst[i], none negative. Units that follow one another on both
  // sides are taken together where that takes fewer calls. Stops beyond `most` copies.
  std::vector<PitchedCopy> list(const std::int64_t* src, const std::int64_t* dst,
                                std::size_t count, std::size_t most) const;

 private:
  // Planes and layers that one step leads through, from the first of them.
  struct Box {
    accel_kv_paging src_paging, dst_paging;
    std::uintptr_t src, dst;
    std::vector<StridedPlan::Dim> dims;
    std::size_t run;
  };

  void add(const accel_kv_plane& plane, std::uintptr_t src, std::uintptr_t dst,
           const std::vector<StridedPlan::Dim>& outer);

  std::vector<Box> boxes_;
};

namespace detail::pages {

using Dims = std::vector<StridedPlan::Dim>;

inline std::uintptr_t moved(std::uintptr_t address, std::int64_t by) {
  return address + static_cast<std::uintptr_t>(by);
}

// The step from each of `count` addresses, `stride` apart in the list, to the next; 0 if there is
// none that leads through all of them and forward.
inline std::int64_t step_of(const std::vector<std::uintptr_t>& all, std::size_t first,
                            std::size_t count, std::size_t stride) {
  const auto step = static_cast<std::int64_t>(all[first + stride] - all[first]);
  if (step <= 0) return 0;
  for (std::size_t i = 1; i < count; ++i) {
    if (all[first + i * stride] != moved(all[first + (i - 1) * stride], step)) return 0;
  }
  return step;
}

// Dimensions sorted and joined where both sides step on.
inline StridedPlan joined(const Dims& dims, std::size_t run) {
  std::vector<std::int64_t> shape, dst, src;
  for (const auto& dim : dims) {
    shape.push_back(dim.extent);
    dst.push_back(dim.dst);
    src.push_back(dim.src);
  }
  return StridedPlan(shape, dst, src, static_cast<std::int64_t>(run));
}

// The dimension whose rows one pitched call takes; -1 if none can be.
inline int rows_of(const StridedPlan& plan) {
  const auto run = static_cast<std::int64_t>(plan.run());
  int best = -1;
  for (std::size_t k = 0; k < plan.dims().size(); ++k) {
    const auto& dim = plan.dims()[k];
    if (dim.dst < run || dim.src < run) continue;
    if (best < 0 || dim.extent > plan.dims()[static_cast<std::size_t>(best)].extent) {
      best = static_cast<int>(k);
    }
  }
  return best;
}

inline std::size_t calls_of(const StridedPlan& plan) {
  const int rows = rows_of(plan);
  std::size_t calls = 1;
  for (std::size_t k = 0; k < plan.dims().size(); ++k) {
    if (static_cast<int>(k) != rows) calls *= static_cast<std::size_t>(plan.dims()[k].extent);
  }
  return calls;
}

inline void append(std::vector<PitchedCopy>& out, const StridedPlan& plan, std::uintptr_t dst,
                   std::uintptr_t src) {
  const int rows = rows_of(plan);
  PitchedCopy copy{dst, src, plan.run(), plan.run(), plan.run(), 1};
  if (rows >= 0) {
    const auto& dim = plan.dims()[static_cast<std::size_t>(rows)];
    copy.dst_pitch = static_cast<std::size_t>(dim.dst);
    copy.src_pitch = static_cast<std::size_t>(dim.src);
    copy.height = static_cast<std::size_t>(dim.extent);
  }
  const std::size_t calls = calls_of(plan);
  for (std::size_t call = 0; call < calls; ++call) {
    auto rest = static_cast<std::int64_t>(call);
    std::int64_t to = 0, from = 0;
    for (std::size_t k = plan.dims().size(); k-- > 0;) {
      if (static_cast<int>(k) == rows) continue;
      const auto& dim = plan.dims()[k];
      to += rest % dim.extent * dim.dst;
      from += rest % dim.extent * dim.src;
      rest /= dim.extent;
    }
    PitchedCopy one = copy;
    one.dst = moved(dst, to);
    one.src = moved(src, from);
    out.push_back(one);
  }
}

}  // namespace detail::pages

inline PageCopies::PageCopies(std::int64_t layers, const std::vector<accel_kv_plane>& planes,
                              const std::vector<std::uintptr_t>& src,
                              const std::vector<std::uintptr_t>& dst) {
  using namespace detail::pages;
  const std::size_t width = planes.size(), depth = static_cast<std::size_t>(layers);
  bool alike = true;
  for (const auto& plane : planes) {
    alike = alike && std::memcmp(&plane, &planes.front(), sizeof(plane)) == 0;
  }
  // A dimension over the planes of a layer, and one over the layers of a plane.
  const auto over = [&](std::size_t first, std::size_t count, std::size_t stride) {
    if (count == 1) return StridedPlan::Dim{1, 0, 0};
    return StridedPlan::Dim{static_cast<std::int64_t>(count), step_of(dst, first, count, stride),
                            step_of(src, first, count, stride)};
  };
  const auto whole = [](const StridedPlan::Dim& dim) {
    return dim.extent == 1 || (dim.dst > 0 && dim.src > 0);
  };
  const auto same = [](const StridedPlan::Dim& a, const StridedPlan::Dim& b) {
    return a.dst == b.dst && a.src == b.src;
  };
  std::vector<StridedPlan::Dim> down(width), across(depth);
  bool layers_step = true, planes_step = alike;
  for (std::size_t p = 0; p < width; ++p) {
    down[p] = over(p, depth, width);
    layers_step = layers_step && whole(down[p]);
  }
  for (std::size_t l = 0; l < depth; ++l) {
    across[l] = over(l * width, width, 1);
    planes_step = planes_step && whole(across[l]);
  }
  bool both = layers_step && planes_step;
  for (const auto& dim : down) both = both && same(dim, down.front());
  if (both) {
    add(planes.front(), src.front(), dst.front(), {down.front(), across.front()});
  } else if (layers_step) {
    for (std::size_t p = 0; p < width; ++p) add(planes[p], src[p], dst[p], {down[p]});
  } else if (planes_step) {
    for (std::size_t l = 0; l < depth; ++l) {
      add(planes.front(), src[l * width], dst[l * width], {across[l]});
    }
  } else {
    for (std::size_t i = 0; i < depth * width; ++i) add(planes[i % width], src[i], dst[i], {});
  }
}

inline void PageCopies::add(const accel_kv_plane& plane, std::uintptr_t src, std::uintptr_t dst,
                            const std::vector<StridedPlan::Dim>& outer) {
  Box box{plane.src, plane.dst, src, dst, {}, static_cast<std::size_t>(plane.run_bytes)};
  for (const auto& dim : outer) {
    if (dim.extent > 1) box.dims.push_back(dim);
  }
  for (accel_i64 i = 0; i < plane.ndim; ++i) {
    box.dims.push_back({plane.size[i], plane.dst_stride[i], plane.src_stride[i]});
  }
  boxes_.push_back(std::move(box));
}

inline std::vector<PitchedCopy> PageCopies::list(const std::int64_t* src,
                                                 const std::int64_t* dst, std::size_t count,
                                                 std::size_t most) const {
  using namespace detail::pages;
  std::vector<PitchedCopy> out;
  for (const Box& box : boxes_) {
    const StridedPlan alone = joined(box.dims, box.run);
    const std::size_t calls = calls_of(alone);
    const auto from = [&](std::size_t i) { return accel_kv_unit_offset(&box.src_paging, src[i]); };
    const auto to = [&](std::size_t i) { return accel_kv_unit_offset(&box.dst_paging, dst[i]); };
    for (std::size_t i = 0; i < count && out.size() <= most;) {
      std::size_t next = i + 1;
      StridedPlan::Dim units{1, 0, 0};
      if (next < count && src[next] == src[i] + 1 && dst[next] == dst[i] + 1) {
        units = {1, to(next) - to(i), from(next) - from(i)};
        while (next < count && src[next] == src[next - 1] + 1 && dst[next] == dst[next - 1] + 1 &&
               to(next) - to(next - 1) == units.dst && from(next) - from(next - 1) == units.src) {
          ++next;
        }
        units.extent = static_cast<std::int64_t>(next - i);
      }
      if (units.extent > 1 && units.dst > 0 && units.src > 0) {
        Dims dims = box.dims;
        dims.push_back(units);
        const StridedPlan together = joined(dims, box.run);
        if (calls_of(together) < calls * static_cast<std::size_t>(units.extent)) {
          append(out, together, moved(box.dst, to(i)), moved(box.src, from(i)));
          i = next;
          continue;
        }
      }
      append(out, alone, moved(box.dst, to(i)), moved(box.src, from(i)));
      ++i;
    }
    if (out.size() > most) break;
  }
  return out;
}

}  // namespace accel
