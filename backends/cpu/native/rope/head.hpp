// One head of one key: where its rotated channels lie, and turning them in place.
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
};

// Turns heads of one shape; the way to do so is chosen once.
class HeadTurner {
 public:
  explicit HeadTurner(const Channels& channels);

  // `count` heads, `step` bytes apart, all by the same cosines and sines.
  void operator()(char* head, std::int64_t count, std::int64_t step, const float* c,
                  const float* s) const {
    (this->*way_)(head, count, step, c, s);
  }

  // Whether a head's channels are one run of bytes.
  bool contiguous() const { return contiguous_; }

 private:
  using Way = void (HeadTurner::*)(char*, std::int64_t, std::int64_t, const float*,
                                   const float*) const;

  void in_place(char* head, std::int64_t count, std::int64_t step, const float* c,
                const float* s) const;
  void whole(char* head, std::int64_t count, std::int64_t step, const float* c,
             const float* s) const;
  void in_parts(char* head, std::int64_t count, std::int64_t step, const float* c,
                const float* s) const;

  void turn(float* tile, const float* c, const float* s, std::size_t pairs) const;
  void load(const char* head, std::int64_t channel, std::int64_t n, float* to) const;
  void store(const float* from, std::int64_t channel, std::int64_t n, char* head) const;

  Channels channels_;
  const numeric::RowKernels& rows_;
  std::int64_t size_;  // bytes of an element
  bool contiguous_ = false;
  Way way_ = nullptr;
};

}  // namespace accel_cpu::rope
