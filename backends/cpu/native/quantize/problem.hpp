// Quantising on the host: walking over a problem, and its two ways.
#pragma once

#include <accel/quantize_problem.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../numeric/rows.hpp"

namespace accel_cpu::quantize {

// Elements that are staged at a time: enough that what is done once for each tile does not count,
// few enough for the first-level cache.
constexpr std::size_t kStage = 2048;

using accel::quantize::Axis;
using accel::quantize::Code;
using accel::quantize::Dim;
using accel::quantize::kCodes;
using accel::quantize::kOffsets;
using accel::quantize::kOperands;
using accel::quantize::kScales;
using accel::quantize::kValues;
using accel::quantize::merged;
using accel::quantize::Problem;
using accel::quantize::Spec;
using accel::quantize::Which;

using Addresses = char* [kOperands];

// Steps through all indices of some dims in row-major order, from any of them on.
class Walk {
 public:
  Walk(const std::vector<Dim>& dims, char* const (&base)[kOperands], std::int64_t start);
  char* at(Which which) const { return at_[which]; }
  void next();

 private:
  const std::vector<Dim>& dims_;
  std::vector<std::int64_t> index_;
  char* at_[kOperands];
};

// Both run on all threads when it is worth it. No address need be aligned.
void quantize(const Problem& problem);
void dequantize(const Problem& problem);

}  // namespace accel_cpu::quantize
