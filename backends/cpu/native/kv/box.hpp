// A box of byte runs, moved between two sets of strides by the loop that suits it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accel/kv_address.h"

namespace accel_cpu::kv {

using accel_i64 = ::accel_i64;

constexpr int kMaxDims = ACCEL_KV_MAX_DIMS + 1;  // one more for neighbouring units

// `run` contiguous bytes for every index of the dimensions, which are ordered by falling
// destination stride. Strides in bytes.
struct Box {
  accel_i64 run = 0;
  int ndim = 0;
  accel_i64 size[kMaxDims] = {};
  accel_i64 src[kMaxDims] = {};
  accel_i64 dst[kMaxDims] = {};

  accel_i64 bytes() const;
};

// The box of `count` units that lie src_step and dst_step apart, joined with the runs where they
// are contiguous on both sides.
Box neighbouring_units(const accel_kv_plane& plane, accel_i64 count, accel_i64 src_step,
                       accel_i64 dst_step);

// The innermost loop: n runs, or an n by m transposition of elements.
struct Leaf {
  accel_i64 run = 0;
  accel_i64 n = 1, src = 0, dst = 0;       // strides of n
  accel_i64 m = 1, m_src = 0, m_dst = 0;  // strides of m
};
// `ahead` is how far from each source byte the one lies that will be wanted soon; 0 for none.
using LeafLoop = void (*)(const Leaf& leaf, char* dst, const char* src, std::ptrdiff_t ahead);

// A box and the loop chosen for it. With `streaming`, stores go past the caches where whole lines
// are written; the caller ends a batch with streaming_fence().
class Mover {
 public:
  Mover() = default;
  Mover(const Box& box, bool streaming);
  void operator()(char* dst, const char* src, std::ptrdiff_t ahead) const;

  // Starts the address translation of the pages that moving this box will touch: nothing takes
  // longer when runs are scattered, and several at once take as long as one.
  void touch(const char* dst, const char* src, bool dst_too) const;
  // How many touches make a batch; 0 where runs are too short or too long for them to pay.
  std::size_t touch_batch() const;

 private:

  // Dimensions outside the leaf; inside a staged tile, and around it.
  struct Outer {
    int ndim = 0;
    accel_i64 size[kMaxDims], src[kMaxDims], dst[kMaxDims];
    void push(accel_i64 n, accel_i64 s, accel_i64 d);
    template <class To, class F>
    void each(To* to, const char* from, F&& body) const;
  };

  Leaf leaf_;
  LeafLoop loop_ = nullptr;
  LeafLoop unaligned_loop_ = nullptr;  // for destinations that do not start on a line; may be null
  Outer outer_;                        // around the leaf
  Outer around_;                       // around the staged tile
  accel_i64 staged_ = 0;               // bytes of a tile gathered in L1 and then streamed; 0: none
};

void streaming_fence();

}  // namespace accel_cpu::kv
