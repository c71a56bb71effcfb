#include "groups.hpp"

#include <algorithm>

namespace accel_cpu::quantize {
namespace {

using numeric::kTile;
using numeric::rows;

// Groups below this size are spread into a scale for each channel first: a call for each would cost
// more than its work.
constexpr std::size_t kWide = 64;

// Calls body(at, count, group) for each group's part of the tile.
template <class Body>
void for_each(const TileGroups& groups, std::size_t n, Body body) {
  std::size_t count = std::min(groups.first, n);
  for (std::size_t at = 0, group = 0; at < n; ++group) {
    body(at, count, group);
    at += count;
    count = std::min(groups.size, n - at);
  }
}

// A value for each channel.
void spread(const TileGroups& groups, const float* values, std::size_t n, float* to) {
  if (groups.first == groups.size && n % groups.size == 0) {
    rows().spread(values, n / groups.size, groups.size, to);
    return;
  }
  for_each(groups, n, [&](std::size_t at, std::size_t count, std::size_t group) {
    std::fill_n(to + at, count, values[group]);
  });
}

}  // namespace

void divide_groups(const TileGroups& groups, float* tile, std::size_t n) {
  if (groups.size >= kWide) {
    for_each(groups, n, [&](std::size_t at, std::size_t count, std::size_t group) {
      if (groups.offsets != nullptr) rows().add(tile + at, count, -groups.offsets[group]);
      rows().divide(tile + at, count, groups.scales[group]);
    });
    return;
  }
  alignas(64) float by[kTile];
  if (groups.offsets != nullptr) {
    spread(groups, groups.offsets, n, by);
    rows().subtract_each(tile, n, by);
  }
  spread(groups, groups.scales, n, by);
  rows().divide_each(tile, n, by);
}

void multiply_groups(const TileGroups& groups, float* tile, std::size_t n) {
  if (groups.size >= kWide) {
    for_each(groups, n, [&](std::size_t at, std::size_t count, std::size_t group) {
      rows().multiply(tile + at, count, groups.scales[group]);
      if (groups.offsets != nullptr) rows().add(tile + at, count, groups.offsets[group]);
    });
    return;
  }
  alignas(64) float by[kTile];
  spread(groups, groups.scales, n, by);
  rows().multiply_each(tile, n, by);
  if (groups.offsets != nullptr) {
    spread(groups, groups.offsets, n, by);
    rows().add_each(tile, n, by);
  }
}

}  // namespace accel_cpu::quantize
