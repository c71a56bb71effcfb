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

  // Best given tokens that lie near one another, of one head number, unless contiguous().
  void operator()(const Turned* heads, std::size_t n) const { (this->*way_)(heads, n); }

  // Whether a head's channels are one run of bytes.
  bool contiguous() const { return contiguous_; }

 private:
  using Way = void (HeadTurner::*)(const Turned*, std::size_t) const;

  void in_place(const Turned* heads, std::size_t n) const;
  void by_row(const Turned* heads, std::size_t n) const;
  void staged(const Turned* heads, std::size_t n) const;
  void in_parts(const Turned* heads, std::size_t n) const;

  void turn_row(const void* from, const float* c, const float* s, std::size_t pairs,
                void* to) const;
  void turn(float* tile, const float* c, const float* s, std::size_t pairs) const;
  void move_rows(const Turned* heads, std::size_t n, char* rows, bool back) const;
  void move_row(char* head, std::int64_t channel, std::int64_t n, char* row, bool back) const;

  Channels channels_;
  const numeric::RowKernels& rows_;
  std::int64_t size_;       // bytes of an element
  std::int64_t start_ = 0;  // bytes from a head to its first rotated channel
  bool contiguous_ = false;
  Way way_ = nullptr;
};

}  // namespace accel_cpu::rope
