// Strided copies and fills by the processor, on the calling thread. Needs no GIL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "strided_plan.hpp"

namespace accel {

namespace detail {

// Calls at(dst offset, src offset) for every index.
template <class At>
void for_each_run(const std::vector<StridedPlan::Dim>& dims, std::size_t k, std::int64_t dst,
                  std::int64_t src, const At& at) {
  if (k == dims.size()) {
    at(dst, src);
    return;
  }
  for (std::int64_t i = 0; i < dims[k].extent; ++i) {
    for_each_run(dims, k + 1, dst + i * dims[k].dst, src + i * dims[k].src, at);
  }
}

// Copies of the size of one element compile to a load and a store.
template <std::size_t kRun>
void copy_runs(const std::vector<StridedPlan::Dim>& dims, char* dst, const char* src) {
  for_each_run(dims, 0, 0, 0, [=](std::int64_t to, std::int64_t from) {
    std::memcpy(dst + to, src + from, kRun);
  });
}

}  // namespace detail

inline void copy_on_host(const std::vector<StridedPlan::Dim>& dims, std::size_t run, char* dst,
                         const char* src) {
  switch (run) {
    case 1: return detail::copy_runs<1>(dims, dst, src);
    case 2: return detail::copy_runs<2>(dims, dst, src);
    case 4: return detail::copy_runs<4>(dims, dst, src);
    case 8: return detail::copy_runs<8>(dims, dst, src);
    case 16: return detail::copy_runs<16>(dims, dst, src);
    default:
      detail::for_each_run(dims, 0, 0, 0, [=](std::int64_t to, std::int64_t from) {
        std::memcpy(dst + to, src + from, run);
      });
  }
}

inline void copy_on_host(const StridedPlan& plan, char* dst, const char* src) {
  copy_on_host(plan.dims(), plan.run(), dst, src);
}

inline void fill_on_host(const std::vector<StridedPlan::Dim>& dims, std::size_t run, char* dst,
                         std::uint8_t value) {
  detail::for_each_run(dims, 0, 0, 0, [=](std::int64_t to, std::int64_t) {
    std::memset(dst + to, value, run);
  });
}

inline void fill_on_host(const StridedPlan& plan, char* dst, std::uint8_t value) {
  fill_on_host(plan.dims(), plan.run(), dst, value);
}

}  // namespace accel
