// A tile of the unified buffer, which runs of bytes go through: see accel/kv_run_copier.h.
#ifndef ACCEL_ASCEND_UNIFIED_TILE_H
#define ACCEL_ASCEND_UNIFIED_TILE_H

#include "ascend.h"

namespace accel_ascend {

class UnifiedTile {
 public:
  static constexpr u32 kBytes = 80 * 1024;
  static constexpr u32 kAligned = 32;
  static constexpr i64 kMostRows = 4095;
  static constexpr i64 kMostGap = 0xFFFFFFFF;

  __aicore__ inline void Init(AscendC::TPipe* pipe) { pipe->InitBuffer(queue_, kTiles, kBytes); }

  __aicore__ inline void Open() { tile_ = queue_.AllocTensor<uint8_t>(); }

  __aicore__ inline void Read(u64 local, u64 src, i64 rows, u64 bytes, i64 gap) {
    AscendC::DataCopyPad(tile_[static_cast<u32>(local)], Memory(src, Span(rows, bytes, gap)),
                         Parts(rows, bytes, gap, 0),
                         AscendC::DataCopyPadExtParams<uint8_t>(false, 0, 0, 0));
  }

  __aicore__ inline void Full() {
    queue_.EnQue(tile_);
    tile_ = queue_.DeQue<uint8_t>();
  }

  __aicore__ inline void Write(u64 dst, u64 local, i64 rows, u64 bytes, i64 gap) {
    AscendC::DataCopyPad(Memory(dst, Span(rows, bytes, gap)), tile_[static_cast<u32>(local)],
                         Parts(rows, bytes, 0, gap));
  }

  __aicore__ inline void Emptied() { queue_.FreeTensor(tile_); }

 private:
  static constexpr u32 kTiles = 2;

  static __aicore__ inline u64 Span(i64 rows, u64 bytes, i64 gap) {
    return static_cast<u64>(rows - 1) * (bytes + static_cast<u64>(gap)) + bytes;
  }
  static __aicore__ inline AscendC::DataCopyExtParams Parts(i64 rows, u64 bytes, i64 src_gap,
                                                           i64 dst_gap) {
    return AscendC::DataCopyExtParams(static_cast<uint16_t>(rows), static_cast<u32>(bytes),
                                      static_cast<u32>(src_gap), static_cast<u32>(dst_gap), 0);
  }

  AscendC::TQueBind<AscendC::TPosition::VECIN, AscendC::TPosition::VECOUT, kTiles> queue_;
  AscendC::LocalTensor<uint8_t> tile_;
};

}  // namespace accel_ascend

#endif
