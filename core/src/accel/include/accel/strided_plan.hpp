// How strided memory is copied: dimensions are sorted and merged, then moved in runs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace accel {

class StridedPlan {
 public:
  struct Dim {
    std::int64_t extent, dst, src;
  };

  // All strides in bytes. Both sides have this shape; no extent may be 0.
  StridedPlan(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& dst_strides,
              const std::vector<std::int64_t>& src_strides, std::int64_t itemsize)
      : run_(static_cast<std::size_t>(itemsize)), total_(run_) {
    std::vector<Dim> dims;
    for (std::size_t k = 0; k < shape.size(); ++k) {
      total_ *= static_cast<std::size_t>(shape[k]);
      if (shape[k] != 1) dims.push_back({shape[k], dst_strides[k], src_strides[k]});
    }
    std::stable_sort(dims.begin(), dims.end(), [](const Dim& a, const Dim& b) {
      return a.dst != b.dst ? a.dst > b.dst : a.src > b.src;
    });
    for (const Dim& dim : dims) {
      if (!dims_.empty() && dims_.back().dst == dim.dst * dim.extent &&
          dims_.back().src == dim.src * dim.extent) {
        dims_.back() = {dims_.back().extent * dim.extent, dim.dst, dim.src};
      } else {
        dims_.push_back(dim);
      }
    }
    if (!dims_.empty() && dims_.back().dst == itemsize && dims_.back().src == itemsize) {
      run_ *= static_cast<std::size_t>(dims_.back().extent);
      dims_.pop_back();
    }
  }

  // Dimensions of another plan, or a part of them, as they are.
  StridedPlan(std::vector<Dim> dims, std::size_t run)
      : dims_(std::move(dims)), run_(run), total_(run) {
    for (const Dim& dim : dims_) total_ *= static_cast<std::size_t>(dim.extent);
  }

  std::size_t nbytes() const { return total_; }
  bool contiguous() const { return dims_.empty(); }
  std::size_t run() const { return run_; }  // contiguous bytes on both sides
  // Outermost first: descending destination strides.
  const std::vector<Dim>& dims() const { return dims_; }

 private:
  std::vector<Dim> dims_;
  std::size_t run_ = 0;
  std::size_t total_ = 0;
};

}  // namespace accel
