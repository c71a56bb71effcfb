// Tiles of floats from and to the operands' memory: contiguous rows go through the row loops at
// once, others by way of a contiguous tile. At most kStage elements a call; no address need be
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

// n elements `step` bytes apart as floats: where they lie, if they are just that, or in `buffer`.
const float* load_values(numeric::Kind kind, const char* from, std::int64_t step, std::size_t n,
                         float* buffer);

// Where values may be made: in place if floats lie side by side, or in `buffer`; store_values then
// puts them where they belong.
float* place_values(numeric::Kind kind, char* to, std::int64_t step, float* buffer);
void store_values(numeric::Kind kind, const float* from, std::size_t n, char* to,
                  std::int64_t step);

// Bytes from the first code to the n-th.
inline std::int64_t code_offset(const Spec& spec, std::int64_t n, std::int64_t step) {
  return spec.is_packed() ? n / 2 : n * step;
}

// n codes as bytes of their own: where they lie, or in `buffer`.
const std::uint8_t* load_codes(const Spec& spec, const char* from, std::int64_t step, std::size_t n,
                               std::uint8_t* buffer);

// Where bytes may be made, and storing them, as with values.
std::uint8_t* place_codes(const Spec& spec, char* to, std::int64_t step, std::uint8_t* buffer);
void store_codes(const Spec& spec, const std::uint8_t* from, std::size_t n, char* to,
                 std::int64_t step);

}  // namespace accel_cpu::quantize
