// Codes back to values: row by row, whatever shares a scale.
#include <algorithm>

#include "../runtime/parallel.hpp"
#include "elements.hpp"
#include "groups.hpp"
#include "split.hpp"

namespace accel_cpu::quantize {
namespace {

using numeric::kTile;
using numeric::rows;

void scale_channels(const Problem& problem, float* tile, std::int64_t first, std::size_t n,
                    const char* scales, const char* offsets) {
  alignas(64) float buffer[kTile];
  const auto& steps = problem.channels.step;
  rows().multiply_each(
      tile, n, float_row(scales + first * steps[kScales], steps[kScales], n, buffer));
  if (problem.spec.symmetric) return;
  rows().add_each(tile, n,
                  float_row(offsets + first * steps[kOffsets], steps[kOffsets], n, buffer));
}

void dequantize_row(const Problem& problem, const Walk& row) {
  alignas(64) float tile[kTile];
  const std::int64_t channels = problem.channels.extent;
  const auto& steps = problem.channels.step;
  for (std::int64_t first = 0; first < channels; first += static_cast<std::int64_t>(kTile)) {
    const auto n =
        static_cast<std::size_t>(std::min(static_cast<std::int64_t>(kTile), channels - first));
    load_codes(problem.spec, row.at(kCodes) + code_offset(problem.spec, first, steps[kCodes]),
               steps[kCodes], n, tile);
    if (problem.spec.axis == Axis::Channel) {
      scale_channels(problem, tile, first, n, row.at(kScales), row.at(kOffsets));
    } else {
      multiply_groups(problem, tile, first, n, row.at(kScales), row.at(kOffsets));
    }
    store_values(problem.values, tile, n, row.at(kValues) + first * steps[kValues],
                 steps[kValues]);
  }
}

}  // namespace

void dequantize(const Problem& problem) {
  if (problem.channels.extent == 0) return;
  const std::vector<Dim> dims = row_dims(problem);
  const std::int64_t count = problem.outer_count() * problem.tokens.extent;
  parallel_for(static_cast<std::size_t>(count), rows_of_grain(problem),
               [&](std::size_t begin, std::size_t end) {
                 Walk walk(dims, problem.base, static_cast<std::int64_t>(begin));
                 for (std::size_t i = begin; i < end; ++i, walk.next()) {
                   dequantize_row(problem, walk);
                 }
               });
}

}  // namespace accel_cpu::quantize
