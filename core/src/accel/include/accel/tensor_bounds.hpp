// The memory of tensors, as far as can be told at a glance: where it begins and ends, and that no
// two elements share any. What this leaves open, accel.tensor_overlap decides.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "tensor_view.hpp"

namespace accel {

struct Bounds {
  std::uintptr_t begin = 0, end = 0;
  bool meet(const Bounds& other) const { return begin < other.end && other.begin < end; }
};

// Bytes from the first to the end of the last element, of `size` bytes each; 0 without elements.
inline std::int64_t span_of(const TensorView& view, std::int64_t size) {
  std::int64_t last = 0;
  for (int d = 0; d < view.ndim; ++d) {
    if (view.shape[d] == 0) return 0;
    last += (view.shape[d] - 1) * view.strides[d];
  }
  return (last + 1) * size;
}

inline Bounds bounds_of(const TensorView& view, std::int64_t size) {
  return {view.data, view.data + static_cast<std::uintptr_t>(span_of(view, size))};
}

// Whether one of the tensors, whose elements have at most `size` bytes, may share memory with one of
// the ranges: spans[i] bytes from bases[i].
inline bool any_meets(const TensorView* views, int count, std::int64_t size,
                      const std::uintptr_t* bases, const std::vector<std::int64_t>& spans) {
  for (int i = 0; i < count; ++i) {
    const Bounds tensor = bounds_of(views[i], size);
    for (std::size_t r = 0; r < spans.size(); ++r) {
      if (tensor.meet({bases[r], bases[r] + static_cast<std::uintptr_t>(spans[r])})) return true;
    }
  }
  return false;
}

// Every stride steps over all that lies within: then no two elements share memory.
inline bool is_nested(const TensorView& view) {
  std::vector<std::pair<std::int64_t, std::int64_t>> dims;  // stride, extent
  dims.reserve(static_cast<std::size_t>(view.ndim));
  for (int d = 0; d < view.ndim; ++d) {
    if (view.shape[d] == 0) return true;
    if (view.shape[d] > 1) dims.emplace_back(view.strides[d], view.shape[d]);
  }
  std::sort(dims.begin(), dims.end());
  std::int64_t span = 1;
  for (const auto& [stride, extent] : dims) {
    if (stride < span) return false;
    span += (extent - 1) * stride;
  }
  return true;
}

}  // namespace accel
