// What one quantize or dequantize is: the codes, and where the operands' elements lie. Standard
// library only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "number_kind.hpp"

namespace accel::quantize {

enum class Code { I8, I4, U8, E4M3, E5M2 };
enum class Axis { Token, Channel, Group };

// accel.kv.QuantSpec
struct Spec {
  Code code = Code::I8;
  Axis axis = Axis::Token;
  std::int64_t group_size = 0;
  bool symmetric = true;
  int zero = 0, lowest = 0, highest = 0;
  float steps = 1.0f;

  bool is_float() const { return code == Code::E4M3 || code == Code::E5M2; }
  bool is_packed() const { return code == Code::I4; }
};

// From the fields of a QuantSpec; throws std::invalid_argument.
inline Spec make_spec(const std::string& dtype, const std::string& axis, std::int64_t group_size,
                      bool symmetric, int zero, int lowest, int highest, float steps);

// The operands, in this order wherever there are four of something.
enum Which { kValues, kCodes, kScales, kOffsets, kOperands };

// One axis: its extent, and bytes from one index to the next in each operand. Scales that are shared
// along it step by 0.
struct Dim {
  std::int64_t extent;
  std::int64_t step[kOperands];
};

// x (or out) [outer..., tokens, channels].
struct Problem {
  Spec spec;
  NumberKind values = NumberKind::F32;
  std::vector<Dim> outer;  // without those of extent 1, merged where they lie that way
  Dim tokens{}, channels{};
  // channels.step[kScales]: from one channel's scale to the next, or from one group's to the next;
  // 0 with a scale for each token. channels.step[kCodes]: of packed codes, from byte to byte.
  char* base[kOperands] = {};

  std::int64_t outer_count() const {
    std::int64_t count = 1;
    for (const Dim& dim : outer) count *= dim.extent;
    return count;
  }
  std::int64_t elements() const { return outer_count() * tokens.extent * channels.extent; }
  // Channels that share a scale, unless channels.extent is 0.
  std::int64_t group() const {
    return spec.axis == Axis::Group ? spec.group_size : channels.extent;
  }
};

// `outer` with axes of extent 1 dropped, and neighbours joined where every operand allows.
inline std::vector<Dim> merged(const std::vector<Dim>& outer);

// --- implementation -----------------------------------------------------------------------------

inline Spec make_spec(const std::string& dtype, const std::string& axis, std::int64_t group_size,
                      bool symmetric, int zero, int lowest, int highest, float steps) {
  static constexpr const char* kCodeNames[] = {"int8", "int4", "uint8", "float8_e4m3fn",
                                               "float8_e5m2"};
  static constexpr const char* kAxisNames[] = {"token", "channel", "group"};
  Spec spec{Code::I8, Axis::Token, group_size, symmetric, zero, lowest, highest, steps};
  const auto code = std::find(std::begin(kCodeNames), std::end(kCodeNames), dtype);
  if (code == std::end(kCodeNames)) throw std::invalid_argument("no such codes: " + dtype);
  spec.code = static_cast<Code>(code - kCodeNames);
  const auto which = std::find(std::begin(kAxisNames), std::end(kAxisNames), axis);
  if (which == std::end(kAxisNames)) throw std::invalid_argument("no such axis: " + axis);
  spec.axis = static_cast<Axis>(which - kAxisNames);
  if ((spec.axis == Axis::Group) != (group_size > 0)) {
    throw std::invalid_argument("a group size with groups, and only with them");
  }
  return spec;
}

inline std::vector<Dim> merged(const std::vector<Dim>& outer) {
  const auto joins = [](const Dim& outside, const Dim& inside) {
    for (int w = 0; w < kOperands; ++w) {
      if (outside.step[w] != inside.extent * inside.step[w]) return false;
    }
    return true;
  };
  std::vector<Dim> kept;
  kept.reserve(outer.size());
  for (const Dim& dim : outer) {
    if (dim.extent == 1) continue;
    if (!kept.empty() && joins(kept.back(), dim)) {
      const std::int64_t extent = kept.back().extent * dim.extent;
      kept.back() = dim;
      kept.back().extent = extent;
    } else {
      kept.push_back(dim);
    }
  }
  return kept;
}

}  // namespace accel::quantize
