#include "coding.hpp"

#include <algorithm>
#include <cstring>

namespace accel_cpu::quantize {
namespace {

using numeric::Kind;
using numeric::rows;

// Groups below this size are spread into a scale for each channel first: a call for each would cost
// more than its work.
constexpr std::size_t kWide = 64;

int float_kind(const Spec& spec) {
  return static_cast<int>(spec.code == Code::E4M3 ? Kind::E4M3 : Kind::E5M2);
}

// Calls body(at, count, index) for each group's part of n channels.
template <class Body>
void for_each_group(const TileScales& by, std::size_t n, Body body) {
  std::size_t count = std::min(by.first, n);
  for (std::size_t at = 0, index = 0; at < n; ++index) {
    body(at, count, index);
    at += count;
    count = std::min(by.size, n - at);
  }
}

// A value for each channel.
void spread(const TileScales& by, const float* values, std::size_t n, float* to) {
  if (by.first == by.size && n % by.size == 0) {
    rows().spread(values, n / by.size, by.size, to);
    return;
  }
  for_each_group(by, n, [&](std::size_t at, std::size_t count, std::size_t index) {
    std::fill_n(to + at, count, values[index]);
  });
}

// Calls body(at, count, scales, offsets, each) until all n channels are done.
template <class Body>
void for_each_part(const TileScales& by, std::size_t n, Body body) {
  if (by.size == 1) {
    body(std::size_t{0}, n, by.scales, by.offsets, true);
  } else if (by.size >= kWide || by.first >= n) {
    for_each_group(by, n, [&](std::size_t at, std::size_t count, std::size_t index) {
      body(at, count, by.scales + index, by.offsets == nullptr ? nullptr : by.offsets + index,
           false);
    });
  } else {
    alignas(64) float scales[kStage], offsets[kStage];
    spread(by, by.scales, n, scales);
    if (by.offsets != nullptr) spread(by, by.offsets, n, offsets);
    body(std::size_t{0}, n, scales, by.offsets == nullptr ? nullptr : offsets, true);
  }
}

}  // namespace

void encode(const Spec& spec, const float* x, std::size_t n, const TileScales& by, float* buffer,
            std::uint8_t* to) {
  if (spec.is_float() && x != buffer) std::memcpy(buffer, x, n * sizeof(float));
  for_each_part(by, n, [&](std::size_t at, std::size_t count, const float* scales,
                           const float* offsets, bool each) {
    if (!spec.is_float()) {
      rows().encode(x + at, count, scales, offsets, each, spec.zero, spec.lowest, spec.highest,
                    to + at);
    } else if (each) {
      rows().divide_each(buffer + at, count, scales);
    } else {
      rows().divide(buffer + at, count, *scales);
    }
  });
  if (spec.is_float()) rows().store[float_kind(spec)](buffer, n, to);
}

void decode(const Spec& spec, const std::uint8_t* from, std::size_t n, const TileScales& by,
            float* to) {
  if (spec.is_float()) rows().load[float_kind(spec)](from, n, to);
  for_each_part(by, n, [&](std::size_t at, std::size_t count, const float* scales,
                           const float* offsets, bool each) {
    if (!spec.is_float()) {
      rows().decode(from + at, count, spec.code != Code::U8, spec.zero, scales, offsets, each,
                    to + at);
    } else if (each) {
      rows().multiply_each(to + at, count, scales);
    } else {
      rows().multiply(to + at, count, *scales);
    }
  });
}

}  // namespace accel_cpu::quantize
