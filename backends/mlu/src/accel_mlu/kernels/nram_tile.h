// A tile of NRAM, which runs of bytes go through: see accel/kv_run_copier.h.
//
// Copies are asynchronous. One wait for each tile: when it is full, what the other tile held has been
// written too, so that the writes of one overlap the reads of the next.
#ifndef ACCEL_MLU_NRAM_TILE_H
#define ACCEL_MLU_NRAM_TILE_H

#include "mlu.h"

namespace accel_mlu {

class NramTile {
 public:
  static constexpr unsigned int kBytes = 160 * 1024;
  static constexpr unsigned int kAligned = 1;  // copies need no alignment
  static constexpr i64 kMostRows = 4096;
  static constexpr i64 kMostGap = 0x3FFFFFFF;  // strides are 32-bit numbers
  static constexpr unsigned int kTiles = 2;

  // `nram`: kTiles * kBytes of it.
  __mlu_func__ void Init(u8* nram) { nram_ = nram; }

  __mlu_func__ void Open() { tile_ = nram_ + which_ * kBytes; }

  __mlu_func__ void Read(u64 local, u64 src, i64 rows, u64 bytes, i64 gap) {
    const i64 size = static_cast<i64>(bytes);
    if (rows == 1) {
      __memcpy_async(tile_ + local, At(src), static_cast<unsigned int>(bytes), GDRAM2NRAM);
    } else {
      __memcpy_async(tile_ + local, At(src), static_cast<unsigned int>(bytes), GDRAM2NRAM,
                     static_cast<int>(size), static_cast<int>(size + gap),
                     static_cast<int>(rows - 1));
    }
  }

  __mlu_func__ void Full() { __sync_io(); }

  __mlu_func__ void Write(u64 dst, u64 local, i64 rows, u64 bytes, i64 gap) {
    const i64 size = static_cast<i64>(bytes);
    if (rows == 1) {
      __memcpy_async(At(dst), tile_ + local, static_cast<unsigned int>(bytes), NRAM2GDRAM);
    } else {
      __memcpy_async(At(dst), tile_ + local, static_cast<unsigned int>(bytes), NRAM2GDRAM,
                     static_cast<int>(size + gap), static_cast<int>(size),
                     static_cast<int>(rows - 1));
    }
  }

  __mlu_func__ void Emptied() { which_ = 1 - which_; }

 private:
  u8* nram_ = nullptr;
  u8* tile_ = nullptr;
  unsigned int which_ = 0;
};

}  // namespace accel_mlu

#endif
