#include "split.hpp"

#include <algorithm>

namespace accel_cpu::quantize {

std::vector<Dim> row_dims(const Problem& problem) {
  std::vector<Dim> dims = problem.outer;
  dims.push_back(problem.tokens);
  return merged(dims);
}

std::size_t rows_of_grain(const Problem& problem) {
  // A row costs some tens of elements' worth by itself.
  return static_cast<std::size_t>(std::max<std::int64_t>(
      1, kGrainElements / (problem.channels.extent + 32)));
}

void quantize(const Problem& problem) {
  if (problem.spec.axis == Axis::Channel) {
    quantize_by_channel(problem);
  } else {
    quantize_by_token(problem);
  }
}

}  // namespace accel_cpu::quantize
