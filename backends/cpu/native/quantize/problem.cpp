#include "problem.hpp"

#include <algorithm>

namespace accel_cpu::quantize {
namespace {

bool joins(const Dim& outside, const Dim& inside) {
  for (int w = 0; w < kOperands; ++w) {
    if (outside.step[w] != inside.extent * inside.step[w]) return false;
  }
  return true;
}

}  // namespace

std::int64_t Problem::outer_count() const {
  std::int64_t count = 1;
  for (const Dim& dim : outer) count *= dim.extent;
  return count;
}

std::vector<Dim> merged(const std::vector<Dim>& outer) {
  std::vector<Dim> kept;
  kept.reserve(outer.size());
  for (const Dim& dim : outer) {
    if (dim.extent == 1) continue;
    if (!kept.empty() && joins(kept.back(), dim)) {
      const std::int64_t extent = kept.back().extent * dim.extent;
      kept.back() = dim;
      kept.back().extent = extent;
    } else {
      kept.push_back(dim);
    }
  }
  return kept;
}

Walk::Walk(const std::vector<Dim>& dims, char* const (&base)[kOperands], std::int64_t start)
    : dims_(dims), index_(dims.size()) {
  std::copy_n(base, kOperands, at_);
  for (std::size_t d = dims.size(); d-- > 0;) {
    index_[d] = start % dims[d].extent;
    start /= dims[d].extent;
    for (int w = 0; w < kOperands; ++w) at_[w] += index_[d] * dims[d].step[w];
  }
}

void Walk::next() {
  for (std::size_t d = dims_.size(); d-- > 0;) {
    const Dim& dim = dims_[d];
    const bool wraps = ++index_[d] == dim.extent;
    const std::int64_t moves = wraps ? 1 - dim.extent : 1;
    for (int w = 0; w < kOperands; ++w) at_[w] += moves * dim.step[w];
    if (!wraps) return;
    index_[d] = 0;
  }
}

}  // namespace accel_cpu::quantize
