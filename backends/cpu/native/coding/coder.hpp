// entropy_model, encode and decode over whole tensors, on all threads. No Python.
//
// Wrong arguments are ArgumentFaults, thrown before anything is written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packed.hpp"

namespace accel_cpu::coding {

// [layers, tokens, channels] of bytes; channels lie side by side.
struct Symbols {
  std::uint8_t* data;
  std::size_t layers, tokens, channels;
  std::ptrdiff_t layer_stride, token_stride;
};

// [layers, channels, bins + 1] of cumulative frequencies, contiguous.
struct Model {
  const std::uint16_t* data;
  std::uint32_t bins;
};

// `exact`: bins without a symbol get no frequency.
void make_model(const Symbols& symbols, std::uint32_t bins, bool exact, std::uint16_t* model);

// Raises SizeError when `capacity` is less than packed_bound() of the split, or when there are more
// symbols than the format can address. Returns the bytes used.
std::size_t encode(const Symbols& symbols, const Model& model, std::uint8_t* out,
                   std::size_t capacity);

void decode(const std::uint8_t* data, std::size_t size, const Model& model, const Symbols& out);

}  // namespace accel_cpu::coding
