// Codes back to values: row by row, whatever shares a scale.
#include <algorithm>

#include "../runtime/parallel.hpp"
#include "coding.hpp"
#include "elements.hpp"
#include "split.hpp"

namespace accel_cpu::quantize {
namespace {


constexpr auto kWidth = static_cast<std::int64_t>(kStage);

class RowDequantizer {
 public:
  RowDequantizer(const Problem& problem, std::int64_t period) : p_(problem), period_(period) {}

  void run(const Walk& row) {
    const auto& steps = p_.channels.step;
    for (std::int64_t first = 0; first < p_.channels.extent; first += kWidth) {
      const auto n = static_cast<std::size_t>(std::min(kWidth, p_.channels.extent - first));
      char* const to = row.at(kValues) + first * steps[kValues];
      float* const tile = place_values(p_.values, to, steps[kValues], tile_);
      const std::uint8_t* codes =
          load_codes(p_.spec, row.at(kCodes) + code_offset(p_.spec, first, steps[kCodes]),
                     steps[kCodes], n, codes_);
      const TileScales by =
          p_.spec.axis == Axis::Channel ? of_channels(row, first, n) : of_groups(row, first, n);
      decode(p_.spec, codes, n, by, tile);
      store_values(p_.values, tile, n, to, steps[kValues]);
    }
  }

 private:
  TileScales of_channels(const Walk& row, std::int64_t first, std::size_t n) {
    const float* scales = of_channels(row.at(kScales), kScales, first, n, scales_);
    if (p_.spec.symmetric) return {scales, nullptr, 1, 1};
    return {scales, of_channels(row.at(kOffsets), kOffsets, first, n, offsets_), 1, 1};
  }

  const float* of_channels(const char* from, Which which, std::int64_t first, std::size_t n,
                           float* buffer) {
    const std::int64_t step = p_.channels.step[which];
    if (period_ == p_.channels.extent) return floats(from + first * step, step, n, buffer);
    if (kept_[which] == from) return buffer;  // joined rows: one tile, and the same in all of them
    const auto period = static_cast<std::size_t>(period_);
    const float* once = floats(from, step, period, buffer);
    for (std::size_t at = 0; at < n; at += period) std::copy_n(once, period, buffer + at);
    kept_[which] = from;
    return buffer;
  }

  TileScales of_groups(const Walk& row, std::int64_t first, std::size_t n) {
    const std::int64_t group = first / p_.group();
    const auto size = static_cast<std::size_t>(p_.group());
    const auto left = static_cast<std::size_t>((group + 1) * p_.group() - first);
    const std::size_t count = n <= left ? 1 : 1 + (n - left + size - 1) / size;
    const auto& steps = p_.channels.step;
    const float* scales = floats(row.at(kScales) + group * steps[kScales], steps[kScales], count,
                                 scales_);
    if (p_.spec.symmetric) return {scales, nullptr, size, left};
    return {scales,
            floats(row.at(kOffsets) + group * steps[kOffsets], steps[kOffsets], count, offsets_),
            size, left};
  }

  static const float* floats(const char* from, std::int64_t step, std::size_t n, float* buffer) {
    return load_values(numeric::Kind::F32, from, step, n, buffer);
  }

  const Problem& p_;
  const std::int64_t period_;
  const char* kept_[kOperands] = {};
  alignas(64) float tile_[kStage], scales_[kStage], offsets_[kStage];
  alignas(64) std::uint8_t codes_[kStage];
};

void run(const Problem& problem, std::int64_t period) {
  if (problem.channels.extent == 0) return;
  const std::vector<Dim> dims = row_dims(problem);
  const std::int64_t count = problem.outer_count() * problem.tokens.extent;
  parallel_for(static_cast<std::size_t>(count), rows_of_grain(problem),
               [&](std::size_t begin, std::size_t end) {
                 RowDequantizer dequantizer(problem, period);
                 Walk walk(dims, problem.base, static_cast<std::int64_t>(begin));
                 for (std::size_t i = begin; i < end; ++i, walk.next()) dequantizer.run(walk);
               });
}

}  // namespace

void dequantize(const Problem& problem) {
  const Joined parts = join_short_rows(problem);
  run(parts.most, parts.period);
  run(parts.rest, parts.period);
}

}  // namespace accel_cpu::quantize
