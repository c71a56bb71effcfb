// Heads of keys: where their rotated channels lie, and turning them in place.
#pragma once

#include <cstddef>
#include <cstdint>

#include "numeric/rows.hpp"

namespace accel_cpu::rope {

// Strides in bytes. Channel d of a head is at (d / inner) * outer_stride + (d % inner) * stride.
struct Channels {
  numeric::Kind kind = numeric::Kind::F32;
  bool interleaved = false;
  std::int64_t first = 0;  // rotated channels: [first, first + 2 * pairs)
  std::int64_t pairs = 0;
  std::int64_t inner = 1, stride = 0, outer_stride = 0;

  std::int64_t offset_of(std::int64_t channel) const {
    return channel / inner * outer_stride + channel % inner * stride;
  }
};

// A head to turn, and the cosines and sines of its pairs.
struct Turned {
  char* head;
  const float *c, *s;
};

// Turns heads of one shape; the way to do so is chosen once.
class HeadTurner {
 public:
  explicit HeadTurner(const Channels& channels);

  // Whether the heads of one token are best turned together, by turn_token(); otherwise the tokens
  // of one head, which then share lines, by turn_heads().
  bool by_token() const { return by_token_; }

  // `count` heads, `step` bytes apart, all alike.
  void turn_token(const Turned& first, std::int64_t count, std::int64_t step) const;
  void turn_heads(const Turned* heads, std::size_t n) const;

 private:
  void in_place(const Turned& first, std::int64_t count, std::int64_t step) const;
  void row_by_row(const Turned& first, std::int64_t count, std::int64_t step) const;
  void staged(const Turned* heads, std::size_t n) const;
  void in_parts(const Turned& one) const;

  void turn(float* tile, const float* c, const float* s, std::size_t pairs) const;
  void move_rows(const Turned* heads, std::size_t n, char* rows, bool back) const;
  void move_row(char* head, std::int64_t channel, std::int64_t n, char* row, bool back) const;

  Channels channels_;
  const numeric::RowKernels& rows_;
  void (*load_)(const void* from, std::size_t n, float* to);
  void (*store_)(const float* from, std::size_t n, void* to);
  bool is_float_;
  std::int64_t size_;       // bytes of an element
  std::int64_t start_ = 0;  // bytes from a head to its first rotated channel
  bool fits_ = false;       // a tile
  bool by_token_ = false;
};

}  // namespace accel_cpu::rope
