// A transfer between two caches as pitched copies: whole pages, all layers at once where one step
// leads from each to the next. Knows addresses and strides only: no Python, no ACL.
#pragma once

#include <accel/kv_address.h>
#include <accel/strided_plan.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace accel_ascend {

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
    std::vector<accel::StridedPlan::Dim> dims;
    std::size_t run;
  };

  void add(const accel_kv_plane& plane, std::uintptr_t src, std::uintptr_t dst,
           const std::vector<accel::StridedPlan::Dim>& outer);

  std::vector<Box> boxes_;
};

}  // namespace accel_ascend
