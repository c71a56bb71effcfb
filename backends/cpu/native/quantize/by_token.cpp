// Quantising with a scale for each token, or for each group of its channels: row by row.
#include <algorithm>

#include "../runtime/parallel.hpp"
#include "elements.hpp"
#include "groups.hpp"
#include "scale.hpp"
#include "split.hpp"

namespace accel_cpu::quantize {
namespace {

using numeric::kTile;
using numeric::rows;

constexpr auto kWidth = static_cast<std::int64_t>(kTile);

struct Row {
  char *values, *codes, *scales, *offsets;
};

void write_scales(const Problem& problem, const Row& row, std::int64_t first, std::size_t n,
                  const float* scales, const float* offsets) {
  const auto& steps = problem.channels.step;
  write_floats(scales, n, row.scales + first * steps[kScales], steps[kScales]);
  if (problem.spec.symmetric) return;
  write_floats(offsets, n, row.offsets + first * steps[kOffsets], steps[kOffsets]);
}

void load(const Problem& problem, const Row& row, std::int64_t first, std::size_t n, float* tile) {
  const std::int64_t step = problem.channels.step[kValues];
  load_values(problem.values, row.values + first * step, step, n, tile);
}

void divide_and_store(const Problem& problem, const Row& row, std::int64_t first, std::size_t n,
                      const TileGroups& groups, float* tile) {
  divide_groups(groups, tile, n);
  const std::int64_t step = problem.channels.step[kCodes];
  store_codes(problem.spec, tile, n, row.codes + code_offset(problem.spec, first, step), step);
}

// Channels in whole groups that a tile takes, a whole number of bytes of packed codes; 0 if none.
std::int64_t whole_groups(const Problem& problem) {
  const std::int64_t size = problem.group();
  std::int64_t groups = size == 0 ? 0 : kWidth / size;
  if (problem.spec.is_packed() && size % 2 != 0) groups -= groups % 2;
  return groups * size;
}

// Every value is read once.
void by_whole_groups(const Problem& problem, const Row& row, std::int64_t width) {
  alignas(64) float tile[kTile], low[kTile], high[kTile], scales[kTile], offsets[kTile];
  const std::int64_t channels = problem.channels.extent, size = problem.group();
  const float* const used_offsets = problem.spec.symmetric ? nullptr : offsets;
  const auto whole = static_cast<std::size_t>(size);
  for (std::int64_t first = 0; first < channels; first += width) {
    const auto n = static_cast<std::size_t>(std::min(width, channels - first));
    load(problem, row, first, n, tile);
    rows().range_groups(tile, n / whole, whole, low, high);
    scales_of(problem.spec, low, high, n / whole, scales, offsets);
    write_scales(problem, row, first / size, n / whole, scales, offsets);
    divide_and_store(problem, row, first, n, {scales, used_offsets, whole, whole}, tile);
  }
}

// Groups wider than a tile: first the ranges, then the codes.
void by_parts(const Problem& problem, const Row& row) {
  alignas(64) float tile[kTile];
  const std::int64_t channels = problem.channels.extent, size = problem.group();
  const auto& steps = problem.channels.step;
  for (std::int64_t start = 0, group = 0; start < channels; start += size, ++group) {
    Range range;
    for (std::int64_t first = start; first < start + size; first += kWidth) {
      const auto n = static_cast<std::size_t>(std::min(kWidth, start + size - first));
      load(problem, row, first, n, tile);
      rows().range(tile, n, &range.low, &range.high);
    }
    float scale, offset;
    scales_of(problem.spec, &range.low, &range.high, 1, &scale, &offset);
    write_scales(problem, row, group, 1, &scale, &offset);
  }
  for (std::int64_t first = 0; first < channels; first += kWidth) {
    const auto n = static_cast<std::size_t>(std::min(kWidth, channels - first));
    load(problem, row, first, n, tile);
    // Groups wider than half a tile: no more than three have a part in it.
    float scales[3], offsets[3] = {};
    const std::int64_t group = first / size, last = (first + static_cast<std::int64_t>(n) - 1) / size;
    for (std::int64_t g = group; g <= last; ++g) {
      scales[g - group] = read_float(row.scales + g * steps[kScales]);
      if (!problem.spec.symmetric) {
        offsets[g - group] = read_float(row.offsets + g * steps[kOffsets]);
      }
    }
    const auto left = static_cast<std::size_t>((group + 1) * size - first);
    divide_and_store(problem, row, first, n,
                     {scales, problem.spec.symmetric ? nullptr : offsets,
                      static_cast<std::size_t>(size), left},
                     tile);
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
                     const float scale = 1.0f, offset = 0.0f;
                     write_scales(problem, row, 0, 1, &scale, &offset);
                   } else if (width > 0) {
                     by_whole_groups(problem, row, width);
                   } else {
                     by_parts(problem, row);
                   }
                 }
               });
}

}  // namespace accel_cpu::quantize
