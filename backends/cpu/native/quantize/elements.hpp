// Tiles of floats from and to the operands' memory: contiguous rows go through the row loops at
// once, others by way of a contiguous tile. At most kTile elements a call; no address need be
// aligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "problem.hpp"

namespace accel_cpu::quantize {

inline float read_float(const char* from) {
  float value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// n elements `step` bytes apart.
void load_values(numeric::Kind kind, const char* from, std::int64_t step, std::size_t n, float* to);
void store_values(numeric::Kind kind, const float* from, std::size_t n, char* to,
                  std::int64_t step);

// n codes; of packed ones an even number, in bytes that lie side by side. What is stored was divided
// by the scale.
void load_codes(const Spec& spec, const char* from, std::int64_t step, std::size_t n, float* to);
void store_codes(const Spec& spec, const float* from, std::size_t n, char* to, std::int64_t step);

// Bytes from the first code to the n-th.
inline std::int64_t code_offset(const Spec& spec, std::int64_t n, std::int64_t step) {
  return spec.is_packed() ? n / 2 : n * step;
}

// n floats as an array: where they lie, or gathered into `buffer`.
const float* float_row(const char* from, std::int64_t step, std::size_t n, float* buffer);

}  // namespace accel_cpu::quantize
