// The scale and offset of a range, as accel.providers.KVQuantize defines them.
#pragma once

#include <algorithm>
#include <limits>

#include "problem.hpp"

namespace accel_cpu::quantize {

// The finite values seen: none yet.
struct Range {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
};

struct Scale {
  float scale, offset;
};

inline Scale scale_of(const Spec& spec, Range range) {
  if (range.low > range.high) range = {0.0f, 0.0f};
  Scale made{1.0f, 0.0f};
  float width;
  if (spec.symmetric) {
    width = std::max(range.high, -range.low);
  } else {
    made.offset = range.low == 0.0f ? 0.0f : range.low;  // one zero, whichever was met
    width = std::min(range.high - made.offset, std::numeric_limits<float>::max());
  }
  const float scale = width / spec.steps;
  if (scale > 0.0f) made.scale = scale;
  return made;
}

}  // namespace accel_cpu::quantize
