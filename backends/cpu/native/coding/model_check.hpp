// Whether a model is one, and whether symbols fit it.
#pragma once

#include <cstdint>

#include "coder.hpp"

namespace accel_cpu::coding {

struct ModelFacts {
  std::uint32_t check = 0;
  bool has_gaps = false;  // bins without a frequency
};

// Raises ArgumentFault, naming `model` and the first channel that is wrong.
ModelFacts check_model(const Model& model, std::size_t layers, std::size_t channels);

// Raises ArgumentFault, naming the first symbol that `model` cannot encode.
void check_symbols(const Symbols& symbols, const Model& model, const ModelFacts& facts);

// Raises for the first symbol that is not below `bins`; there is one.
[[noreturn]] void refuse_outside(const Symbols& symbols, std::uint32_t bins);

}  // namespace accel_cpu::coding
