// From values to codes and back, a tile at a time, given the scales.
#pragma once

#include <cstddef>
#include <cstdint>

#include "problem.hpp"

namespace accel_cpu::quantize {

// Whose scales (and offsets, null when symmetric) are a tile's: one for each of its channels
// (size 1), or one for each group of `size`, of which the first has only `first` channels in the
// tile, and the last may end behind it.
struct TileScales {
  const float *scales, *offsets;
  std::size_t size, first;
};

// n codes of values; for fp8 the values are divided where they are, unless `x` is not `buffer`.
void encode(const Spec& spec, const float* x, std::size_t n, const TileScales& by, float* buffer,
            std::uint8_t* to);
void decode(const Spec& spec, const std::uint8_t* from, std::size_t n, const TileScales& by,
            float* to);

}  // namespace accel_cpu::quantize
