// Quantising with a scale for each token, or for each group of its channels: row by row.
#include <algorithm>

#include "../runtime/parallel.hpp"
#include "elements.hpp"
#include "groups.hpp"
#include "split.hpp"
#include "scale.hpp"

namespace accel_cpu::quantize {
namespace {

using numeric::kTile;
using numeric::rows;

struct Row {
  char *values, *codes, *scales, *offsets;
};

void write_scale(const Problem& problem, const Row& row, std::int64_t group, const Range& range) {
  const Scale made = scale_of(problem.spec, range);
  const auto& steps = problem.channels.step;
  write_float(row.scales + group * steps[kScales], made.scale);
  if (!problem.spec.symmetric) write_float(row.offsets + group * steps[kOffsets], made.offset);
}

void load(const Problem& problem, const Row& row, std::int64_t first, std::size_t n, float* tile) {
  const std::int64_t step = problem.channels.step[kValues];
  load_values(problem.values, row.values + first * step, step, n, tile);
}

void store(const Problem& problem, const Row& row, std::int64_t first, std::size_t n,
           const float* tile) {
  const std::int64_t step = problem.channels.step[kCodes];
  store_codes(problem.spec, tile, n, row.codes + code_offset(problem.spec, first, step), step);
}

// Channels in whole groups that a tile takes, a whole number of bytes of packed codes; 0 if none.
std::int64_t whole_groups(const Problem& problem) {
  const auto size = problem.group(), most = static_cast<std::int64_t>(kTile);
  std::int64_t groups = size == 0 ? 0 : most / size;
  if (problem.spec.is_packed() && size % 2 != 0) groups -= groups % 2;
  return groups * size;
}

// Every value is read once.
void by_whole_groups(const Problem& problem, const Row& row, std::int64_t width) {
  alignas(64) float tile[kTile];
  const std::int64_t channels = problem.channels.extent;
  for (std::int64_t first = 0; first < channels; first += width) {
    const auto n = static_cast<std::size_t>(std::min(width, channels - first));
    load(problem, row, first, n, tile);
    for_each_group(first, n, problem.group(),
                   [&](std::size_t at, std::size_t count, std::int64_t group) {
                     Range range;
                     rows().range(tile + at, count, &range.low, &range.high);
                     write_scale(problem, row, group, range);
                   });
    divide_groups(problem, tile, first, n, row.scales, row.offsets);
    store(problem, row, first, n, tile);
  }
}

// Groups wider than a tile: first the ranges, then the codes.
void by_parts(const Problem& problem, const Row& row) {
  alignas(64) float tile[kTile];
  const std::int64_t channels = problem.channels.extent, size = problem.group();
  const auto most = static_cast<std::int64_t>(kTile);
  for (std::int64_t start = 0, group = 0; start < channels; start += size, ++group) {
    Range range;
    for (std::int64_t first = start; first < start + size; first += most) {
      const auto n = static_cast<std::size_t>(std::min(most, start + size - first));
      load(problem, row, first, n, tile);
      rows().range(tile, n, &range.low, &range.high);
    }
    write_scale(problem, row, group, range);
  }
  for (std::int64_t first = 0; first < channels; first += most) {
    const auto n = static_cast<std::size_t>(std::min(most, channels - first));
    load(problem, row, first, n, tile);
    divide_groups(problem, tile, first, n, row.scales, row.offsets);
    store(problem, row, first, n, tile);
  }
}

}  // namespace

void quantize_by_token(const Problem& problem) {
  const std::vector<Dim> dims = row_dims(problem);
  const std::int64_t width = whole_groups(problem);
  const std::int64_t count = problem.outer_count() * problem.tokens.extent;
  // Without channels a token still has a scale, and a group does not exist.
  const bool nothing = problem.channels.extent == 0;
  if (nothing && problem.spec.axis == Axis::Group) return;
  parallel_for(static_cast<std::size_t>(count), rows_of_grain(problem),
               [&](std::size_t begin, std::size_t end) {
                 Walk walk(dims, problem.base, static_cast<std::int64_t>(begin));
                 for (std::size_t i = begin; i < end; ++i, walk.next()) {
                   const Row row{walk.at(kValues), walk.at(kCodes), walk.at(kScales),
                                 walk.at(kOffsets)};
                   if (nothing) {
                     write_scale(problem, row, 0, {});
                   } else if (width > 0) {
                     by_whole_groups(problem, row, width);
                   } else {
                     by_parts(problem, row);
                   }
                 }
               });
}

}  // namespace accel_cpu::quantize
