// By how much the pairs of a key turn when its token moves: cosines and sines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "numeric/rows.hpp"

namespace accel_cpu::rope {

// A cos_sin_cache [positions, 2 * pairs]; strides in bytes.
struct Table {
  const char* data = nullptr;  // null: there is none
  numeric::Kind kind = numeric::Kind::F32;
  std::int64_t positions = 0, row_stride = 0, stride = 0;
};

struct Move {
  std::int64_t from = 0, to = 0;  // positions
};

// Either from radians per position and pair, or from a table.
class Turns {
 public:
  // `inv_freq` must live as long as this.
  explicit Turns(const std::vector<double>& inv_freq) : inv_freq_(&inv_freq) {}
  explicit Turns(const Table& table) : table_(table) {}

  // Whether two moves turn all pairs alike.
  bool alike(const Move& a, const Move& b) const {
    if (table_.data != nullptr) return a.from == b.from && a.to == b.to;
    return a.to - a.from == b.to - b.from;
  }

  // Cosines and sines of pairs [0, n): formed in double precision, rounded once.
  void compute(const Move& move, std::size_t n, float* c, float* s) const;

 private:
  void from_angles(double delta, std::size_t n, float* c, float* s) const;
  void from_table(const Move& move, std::size_t n, float* c, float* s) const;

  const std::vector<double>* inv_freq_ = nullptr;
  Table table_;
};

}  // namespace accel_cpu::rope
