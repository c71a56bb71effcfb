#include "scale.hpp"

#include <cstring>

namespace accel_cpu::quantize {

// Plain loops without branches, which become vector code.
void scales_of(const Spec& spec, const float* __restrict low, const float* __restrict high,
               std::size_t n, float* __restrict scale, float* __restrict offset) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  const float steps = spec.steps;
  if (spec.symmetric) {
    for (std::size_t i = 0; i < n; ++i) {
      const float width = high[i] > -low[i] ? high[i] : -low[i];  // of nothing: -inf
      const float wanted = width / steps;
      scale[i] = wanted > 0.0f ? wanted : 1.0f;
      offset[i] = 0.0f;
    }
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const bool none = low[i] > high[i];
    const float least = none || low[i] == 0.0f ? 0.0f : low[i];  // one zero, whichever was met
    const float difference = high[i] - least;
    const float width = difference < kLargest ? difference : kLargest;
    const float wanted = width / steps;
    scale[i] = wanted > 0.0f ? wanted : 1.0f;
    offset[i] = least;
  }
}

void write_floats(const float* from, std::size_t n, char* to, std::int64_t step) {
  if (step == sizeof(float)) {
    std::memcpy(to, from, n * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < n; ++i, to += step) std::memcpy(to, from + i, sizeof(float));
}

}  // namespace accel_cpu::quantize
