// Quantising with a scale for each channel over all tokens: first the ranges, then the codes.
#include <algorithm>
#include <memory>

#include "../runtime/parallel.hpp"
#include "coding.hpp"
#include "elements.hpp"
#include "scale.hpp"
#include "split.hpp"

namespace accel_cpu::quantize {
namespace {

using numeric::rows;

constexpr auto kWidth = static_cast<std::int64_t>(kStage);

// Channels [first, first + n) of one index of the outer axes. `rows` tokens make one tile.
struct Column {
  const Problem& problem;
  char *values, *codes, *scales, *offsets;  // of the first channel
  std::size_t n;
  std::int64_t rows;
};

Column column(const Problem& problem, const Walk& at, std::int64_t first) {
  const auto& steps = problem.channels.step;
  return {problem,
          at.at(kValues) + first * steps[kValues],
          at.at(kCodes) + code_offset(problem.spec, first, steps[kCodes]),
          at.at(kScales) + first * steps[kScales],
          at.at(kOffsets) + first * steps[kOffsets],
          static_cast<std::size_t>(std::min(kWidth, problem.channels.extent - first)),
          std::clamp<std::int64_t>(problem.tokens.extent, 1, rows_in_tile(problem))};
}

// Asks for the next tile while this one is worked on: where columns are narrower than rows, the
// processor does not see what comes next.
void prefetch(const Column& c, const char* from) {
  const std::int64_t step = c.problem.channels.step[kValues];
  if (c.rows > 1 || step > 8) return;
  const std::int64_t bytes = step * static_cast<std::int64_t>(c.n);
  for (std::int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at);
}

// Calls body(token, values, number of them) for tiles of tokens [begin, end).
template <class Body>
void for_each_tile(const Column& c, std::int64_t begin, std::int64_t end, float* buffer,
                   Body body) {
  const Problem& p = c.problem;
  for (std::int64_t t = begin; t < end; t += c.rows) {
    const std::size_t n = c.n * static_cast<std::size_t>(std::min(c.rows, end - t));
    const char* const from = c.values + t * p.tokens.step[kValues];
    const float* x = load_values(p.values, from, p.channels.step[kValues], n, buffer);
    prefetch(c, from + p.tokens.step[kValues]);
    body(t, x, n);
  }
}

// The ranges of tokens [begin, end). Both arrays hold a tile, of which the first n are the result.
void find_ranges(const Column& c, std::int64_t begin, std::int64_t end, float* low, float* high) {
  alignas(64) float buffer[kStage];
  const std::size_t n = c.n * static_cast<std::size_t>(c.rows);
  std::fill_n(low, n, Range().low);
  std::fill_n(high, n, Range().high);
  for_each_tile(c, begin, end, buffer, [&](std::int64_t, const float* x, std::size_t count) {
    rows().range_each(x, count, low, high);
  });
  for (std::size_t row = c.n; row < n; row += c.n) {
    for (std::size_t i = 0; i < c.n; ++i) {
      low[i] = std::min(low[i], low[row + i]);
      high[i] = std::max(high[i], high[row + i]);
    }
  }
}

// Turns ranges into scales (in `low`) and offsets (in `high`), here and in the operands.
void finish(const Column& c, float* low, float* high) {
  alignas(64) float scales[kStage], offsets[kStage];
  const auto& steps = c.problem.channels.step;
  scales_of(c.problem.spec, low, high, c.n, scales, offsets);
  write_floats(scales, c.n, c.scales, steps[kScales]);
  if (!c.problem.spec.symmetric) write_floats(offsets, c.n, c.offsets, steps[kOffsets]);
  std::copy_n(scales, c.n, low);
  std::copy_n(offsets, c.n, high);
}

// The codes of tokens [begin, end).
void write_codes(const Column& c, std::int64_t begin, std::int64_t end, const float* scales,
                 const float* offsets) {
  alignas(64) float buffer[kStage], all_scales[kStage], all_offsets[kStage];
  alignas(64) std::uint8_t bytes[kStage];
  for (std::size_t r = 0; r < static_cast<std::size_t>(c.rows); ++r) {
    std::copy_n(scales, c.n, all_scales + r * c.n);
    std::copy_n(offsets, c.n, all_offsets + r * c.n);
  }
  const Problem& p = c.problem;
  const std::int64_t step = p.channels.step[kCodes];
  const TileScales by{all_scales, p.spec.symmetric ? nullptr : all_offsets, 1, 1};
  for_each_tile(c, begin, end, buffer, [&](std::int64_t t, const float* x, std::size_t n) {
    char* const to = c.codes + t * p.tokens.step[kCodes];
    std::uint8_t* const codes = place_codes(p.spec, to, step, bytes);
    encode(p.spec, x, n, by, buffer, codes);
    store_codes(p.spec, codes, n, to, step);
  });
}

std::int64_t columns_of(const Problem& problem) {
  return (problem.channels.extent + kWidth - 1) / kWidth;
}

// Each column's tokens on one thread.
void by_columns(const Problem& problem) {
  const std::int64_t columns = columns_of(problem);
  const std::int64_t cost = problem.tokens.extent * std::min(kWidth, problem.channels.extent) + 1;
  parallel_for(
      static_cast<std::size_t>(problem.outer_count() * columns),
      static_cast<std::size_t>(std::max<std::int64_t>(1, kGrainElements / cost)),
      [&](std::size_t begin, std::size_t end) {
        alignas(64) float low[kStage], high[kStage];
        for (auto i = static_cast<std::int64_t>(begin); i < static_cast<std::int64_t>(end); ++i) {
          const Walk at(problem.outer, problem.base, i / columns);
          const Column c = column(problem, at, i % columns * kWidth);
          find_ranges(c, 0, problem.tokens.extent, low, high);
          finish(c, low, high);
          write_codes(c, 0, problem.tokens.extent, low, high);
        }
      });
}

// Too few columns for the threads: the tokens are split too, and the ranges of the parts joined.
void by_parts(const Problem& problem) {
  const std::int64_t outer = problem.outer_count();
  const std::int64_t channels = problem.channels.extent, tokens = problem.tokens.extent;
  const auto part = static_cast<std::int64_t>(rows_of_grain(problem));
  const std::int64_t parts = (tokens + part - 1) / part;
  const auto size = static_cast<std::size_t>(outer * parts * channels);
  const std::unique_ptr<float[]> lows(new float[size]), highs(new float[size]);
  // body(column, its first channel, begin, end of the tokens, index in lows and highs)
  const auto for_parts = [&](auto body) {
    parallel_for(static_cast<std::size_t>(outer * parts), 1, [&](std::size_t from, std::size_t to) {
      for (auto i = static_cast<std::int64_t>(from); i < static_cast<std::int64_t>(to); ++i) {
        const Walk at(problem.outer, problem.base, i / parts);
        const std::int64_t begin = i % parts * part, end = std::min(tokens, begin + part);
        for (std::int64_t first = 0; first < channels; first += kWidth) {
          body(column(problem, at, first), i / parts, first, begin, end, i * channels + first);
        }
      }
    });
  };
  for_parts([&](const Column& c, std::int64_t, std::int64_t, std::int64_t begin, std::int64_t end,
                std::int64_t index) {
    alignas(64) float low[kStage], high[kStage];
    find_ranges(c, begin, end, low, high);
    std::copy_n(low, c.n, &lows[index]);
    std::copy_n(high, c.n, &highs[index]);
  });
  for (std::int64_t o = 0; o < outer; ++o) {
    const Walk at(problem.outer, problem.base, o);
    float *low = &lows[o * parts * channels], *high = &highs[o * parts * channels];
    for (std::int64_t p = 1; p < parts; ++p) {
      for (std::int64_t i = 0; i < channels; ++i) {
        low[i] = std::min(low[i], low[p * channels + i]);
        high[i] = std::max(high[i], high[p * channels + i]);
      }
    }
    for (std::int64_t first = 0; first < channels; first += kWidth) {
      finish(column(problem, at, first), low + first, high + first);
    }
  }
  for_parts([&](const Column& c, std::int64_t o, std::int64_t first, std::int64_t begin,
                std::int64_t end, std::int64_t) {
    const std::int64_t index = o * parts * channels + first;
    write_codes(c, begin, end, &lows[index], &highs[index]);
  });
}

}  // namespace

void quantize_by_channel(const Problem& problem) {
  const std::int64_t outer = problem.outer_count();
  if (outer == 0 || problem.channels.extent == 0) return;
  const bool few = outer * columns_of(problem) < 2 * thread_count();
  if (thread_count() > 1 && few && problem.elements() >= 2 * kGrainElements &&
      problem.tokens.extent > static_cast<std::int64_t>(rows_of_grain(problem))) {
    by_parts(problem);
  } else {
    by_columns(problem);
  }
}

}  // namespace accel_cpu::quantize
