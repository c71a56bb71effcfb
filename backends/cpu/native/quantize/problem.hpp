// What one quantize or dequantize is: the codes, and where the operands' elements lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../numeric/rows.hpp"

namespace accel_cpu::quantize {

// Elements that are staged at a time: enough that what is done once for each tile does not count,
// few enough for the first-level cache.
constexpr std::size_t kStage = 2048;

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

// The operands, in this order wherever there are four of something.
enum Which { kValues, kCodes, kScales, kOffsets, kOperands };

using Addresses = char* [kOperands];

// One axis: its extent, and bytes from one index to the next in each operand. Scales that are shared
// along it step by 0.
struct Dim {
  std::int64_t extent;
  std::int64_t step[kOperands];
};

// x (or out) [outer..., tokens, channels].
struct Problem {
  Spec spec;
  numeric::Kind values = numeric::Kind::F32;
  std::vector<Dim> outer;  // without those of extent 1, merged where they lie that way
  Dim tokens{}, channels{};
  // channels.step[kScales]: from one channel's scale to the next, or from one group's to the next;
  // 0 with a scale for each token. channels.step[kCodes]: of packed codes, from byte to byte.
  char* base[kOperands] = {};

  std::int64_t outer_count() const;
  std::int64_t elements() const { return outer_count() * tokens.extent * channels.extent; }
  // Channels that share a scale, unless channels.extent is 0.
  std::int64_t group() const {
    return spec.axis == Axis::Group ? spec.group_size : channels.extent;
  }
};

// `outer` with axes of extent 1 dropped, and neighbours joined where every operand allows.
std::vector<Dim> merged(const std::vector<Dim>& outer);

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
