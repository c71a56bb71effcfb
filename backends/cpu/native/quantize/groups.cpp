#include "groups.hpp"

#include "elements.hpp"

namespace accel_cpu::quantize {
namespace {

using numeric::kTile;
using numeric::rows;

// A scale, or offset, for every channel of the tile.
void spread(const Problem& problem, std::int64_t first, std::size_t n, const char* from,
            Which which, float* to) {
  const std::int64_t step = problem.channels.step[which];
  for_each_group(first, n, problem.group(),
                 [&](std::size_t at, std::size_t count, std::int64_t group) {
                   const float value = read_float(from + group * step);
                   for (std::size_t i = at; i < at + count; ++i) to[i] = value;
                 });
}

}  // namespace

void divide_groups(const Problem& problem, float* tile, std::int64_t first, std::size_t n,
                   const char* scales, const char* offsets) {
  const bool symmetric = problem.spec.symmetric;
  const auto& steps = problem.channels.step;
  if (problem.group() >= static_cast<std::int64_t>(kWideGroup)) {
    for_each_group(first, n, problem.group(),
                   [&](std::size_t at, std::size_t count, std::int64_t group) {
                     if (!symmetric) {
                       rows().add(tile + at, count, -read_float(offsets + group * steps[kOffsets]));
                     }
                     rows().divide(tile + at, count, read_float(scales + group * steps[kScales]));
                   });
    return;
  }
  alignas(64) float by[kTile];
  if (!symmetric) {
    spread(problem, first, n, offsets, kOffsets, by);
    rows().subtract_each(tile, n, by);
  }
  spread(problem, first, n, scales, kScales, by);
  rows().divide_each(tile, n, by);
}

void multiply_groups(const Problem& problem, float* tile, std::int64_t first, std::size_t n,
                     const char* scales, const char* offsets) {
  const bool symmetric = problem.spec.symmetric;
  const auto& steps = problem.channels.step;
  if (problem.group() >= static_cast<std::int64_t>(kWideGroup)) {
    for_each_group(first, n, problem.group(),
                   [&](std::size_t at, std::size_t count, std::int64_t group) {
                     rows().multiply(tile + at, count, read_float(scales + group * steps[kScales]));
                     if (!symmetric) {
                       rows().add(tile + at, count, read_float(offsets + group * steps[kOffsets]));
                     }
                   });
    return;
  }
  alignas(64) float by[kTile];
  spread(problem, first, n, scales, kScales, by);
  rows().multiply_each(tile, n, by);
  if (!symmetric) {
    spread(problem, first, n, offsets, kOffsets, by);
    rows().add_each(tile, n, by);
  }
}

}  // namespace accel_cpu::quantize
