// Applying a scale for each group of neighbouring channels to a tile of floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "problem.hpp"

namespace accel_cpu::quantize {

// Groups below this size are spread into a scale for each channel first: a call for each would cost
// more than its work.
constexpr std::size_t kWideGroup = 24;

// Calls body(at, count, group) for the pieces of channels [first, first + n) that lie in one group
// each: tile[at, at + count).
template <class Body>
void for_each_group(std::int64_t first, std::size_t n, std::int64_t group_size, Body body) {
  std::int64_t group = first / group_size;
  std::int64_t end = (group + 1) * group_size - first;
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(n); ++group, end += group_size) {
    const std::int64_t stop = end < static_cast<std::int64_t>(n) ? end : static_cast<std::int64_t>(n);
    body(static_cast<std::size_t>(at), static_cast<std::size_t>(stop - at), group);
    at = stop;
  }
}

// (x - offset) / scale, channel by channel; `first` is the tile's first channel, and the scales and
// offsets are those of the row's groups.
void divide_groups(const Problem& problem, float* tile, std::int64_t first, std::size_t n,
                   const char* scales, const char* offsets);

// x * scale + offset.
void multiply_groups(const Problem& problem, float* tile, std::int64_t first, std::size_t n,
                     const char* scales, const char* offsets);

}  // namespace accel_cpu::quantize
