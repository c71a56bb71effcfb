// Applying a scale for each group of neighbouring channels to a tile of floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "problem.hpp"

namespace accel_cpu::quantize {

// The scales and offsets (null when symmetric) of a tile's groups, of which the first may begin
// before the tile, and the last end behind it.
struct TileGroups {
  const float *scales, *offsets;
  std::size_t size;   // channels of a whole group
  std::size_t first;  // channels of the first one in the tile; all of them if fewer
};

// (x - offset) / scale, and x * scale + offset, of n channels.
void divide_groups(const TileGroups& groups, float* tile, std::size_t n);
void multiply_groups(const TileGroups& groups, float* tile, std::size_t n);

}  // namespace accel_cpu::quantize
