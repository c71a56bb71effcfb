// The scale and offset of a range, as accel.providers.KVQuantize defines them.
#pragma once

#include <cstddef>
#include <limits>

#include "problem.hpp"

namespace accel_cpu::quantize {

// The finite values seen: none yet.
struct Range {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
};

// Of n ranges, in arrays apart from one another; `offset` is 0 when symmetric.
void scales_of(const Spec& spec, const float* low, const float* high, std::size_t n, float* scale,
               float* offset);

// Into the operand's memory, `step` bytes apart.
void write_floats(const float* from, std::size_t n, char* to, std::int64_t step);

}  // namespace accel_cpu::quantize
