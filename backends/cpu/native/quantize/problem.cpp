#include "problem.hpp"

#include <algorithm>

namespace accel_cpu::quantize {

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
