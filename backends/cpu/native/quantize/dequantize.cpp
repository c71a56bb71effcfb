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

constexpr auto kWidth = static_cast<std::int64_t>(kTile);

// The tile being worked on; what it needs of the scales is kept from one row to the next.
class Tile {
 public:
  Tile(const Problem& problem, std::int64_t period) : problem_(problem), period_(period) {}

  void run(const Walk& row) {
    const auto& steps = problem_.channels.step;
    for (std::int64_t first = 0; first < problem_.channels.extent; first += kWidth) {
      const auto n = static_cast<std::size_t>(std::min(kWidth, problem_.channels.extent - first));
      char* const to = row.at(kValues) + first * steps[kValues];
      // float32 is worked on where it belongs.
      const bool direct = problem_.values == numeric::Kind::F32 && steps[kValues] == 4 &&
                          reinterpret_cast<std::uintptr_t>(to) % alignof(float) == 0;
      float* const tile = direct ? reinterpret_cast<float*>(to) : values_;
      load_codes(problem_.spec, row.at(kCodes) + code_offset(problem_.spec, first, steps[kCodes]),
                 steps[kCodes], n, tile);
      if (problem_.spec.axis == Axis::Channel) {
        by_channel(row, first, n, tile);
      } else {
        by_group(row, first, n, tile);
      }
      if (!direct) store_values(problem_.values, tile, n, to, steps[kValues]);
    }
  }

 private:
  void by_channel(const Walk& row, std::int64_t first, std::size_t n, float* tile) {
    rows().multiply_each(tile, n, of_channels(row.at(kScales), kScales, first, n, scales_));
    if (problem_.spec.symmetric) return;
    rows().add_each(tile, n, of_channels(row.at(kOffsets), kOffsets, first, n, offsets_));
  }

  // One value for each channel of the tile.
  const float* of_channels(const char* from, Which which, std::int64_t first, std::size_t n,
                           float* buffer) {
    const std::int64_t step = problem_.channels.step[which];
    if (period_ == problem_.channels.extent) return float_row(from + first * step, step, n, buffer);
    if (kept_[which] == from) return buffer;  // rows joined: one tile, the same in all of them
    const auto period = static_cast<std::size_t>(period_);
    const float* once = float_row(from, step, period, buffer);
    for (std::size_t at = 0; at < n; at += period) std::copy_n(once, period, buffer + at);
    kept_[which] = from;
    return buffer;
  }

  void by_group(const Walk& row, std::int64_t first, std::size_t n, float* tile) {
    const std::int64_t size = problem_.group(), group = first / size;
    const auto left = static_cast<std::size_t>((group + 1) * size - first);
    const auto whole = static_cast<std::size_t>(size);
    const std::size_t groups = n <= left ? 1 : 1 + (n - left + whole - 1) / whole;
    const auto& steps = problem_.channels.step;
    const float* scales = float_row(row.at(kScales) + group * steps[kScales], steps[kScales],
                                    groups, scales_);
    const float* offsets = nullptr;
    if (!problem_.spec.symmetric) {
      offsets = float_row(row.at(kOffsets) + group * steps[kOffsets], steps[kOffsets], groups,
                          offsets_);
    }
    multiply_groups({scales, offsets, whole, left}, tile, n);
  }

  const Problem& problem_;
  const std::int64_t period_;
  const char* kept_[kOperands] = {};
  alignas(64) float values_[kTile], scales_[kTile], offsets_[kTile];
};

void run(const Problem& problem, std::int64_t period) {
  if (problem.channels.extent == 0) return;
  const std::vector<Dim> dims = row_dims(problem);
  const std::int64_t count = problem.outer_count() * problem.tokens.extent;
  parallel_for(static_cast<std::size_t>(count), rows_of_grain(problem),
               [&](std::size_t begin, std::size_t end) {
                 Tile tile(problem, period);
                 Walk walk(dims, problem.base, static_cast<std::int64_t>(begin));
                 for (std::size_t i = begin; i < end; ++i, walk.next()) tile.run(walk);
               });
}

}  // namespace

void dequantize(const Problem& problem) {
  const Joined parts = join_short_rows(problem);
  run(parts.most, parts.period);
  run(parts.rest, parts.period);
}

}  // namespace accel_cpu::quantize
