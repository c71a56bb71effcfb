// Runs of bytes from one place of global memory to another, gathered in the unified buffer.
//
// A tile of the unified buffer takes many runs: those that follow one another at their source are
// read by one instruction, those that follow one another at their destination are written by one.
// Two tiles take turns, so that one is filled while the other is emptied.
#ifndef ACCEL_ASCEND_RUN_COPIER_H
#define ACCEL_ASCEND_RUN_COPIER_H

#include "ascend.h"

namespace accel_ascend {

constexpr u32 kTileBytes = 80 * 1024;
constexpr u32 kTiles = 2;
constexpr u32 kMostWrites = 64;     // instructions that empty a tile
constexpr i64 kMostRows = 4095;     // of an instruction
constexpr i64 kMostGap = 0xFFFFFFFF;  // bytes between its rows

class RunCopier {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe) {
    pipe->InitBuffer(queue_, kTiles, kTileBytes);
  }

  // `rows` runs of `bytes` bytes each, `src_step` and `dst_step` bytes apart.
  __aicore__ inline void Rows(u64 src, u64 dst, i64 rows, u64 bytes, i64 src_step, i64 dst_step) {
    const i64 src_gap = src_step - static_cast<i64>(bytes);
    const i64 dst_gap = dst_step - static_cast<i64>(bytes);
    const u64 local = AlignUp(bytes);
    const bool together = src_gap >= 0 && src_gap <= kMostGap && dst_gap >= 0 &&
                          dst_gap <= kMostGap && 2 * local <= kTileBytes;
    i64 done = 0;
    while (together && rows - done > 1) {
      i64 most = (kTileBytes - AlignUp(used_)) / local;
      if (most < 2 || writes_ == kMostWrites) {
        Ship();
        most = kTileBytes / local;
      }
      const i64 now = Min(Min(rows - done, kMostRows), most);
      PutRows(src + static_cast<u64>(done * src_step), dst + static_cast<u64>(done * dst_step), now,
              bytes, src_gap, dst_gap);
      done += now;
    }
    for (; done < rows; ++done) {
      Run(src + static_cast<u64>(done * src_step), dst + static_cast<u64>(done * dst_step), bytes);
    }
  }

  __aicore__ inline void Run(u64 src, u64 dst, u64 bytes) {
    while (bytes > 0) {
      const bool reads_on = read_bytes_ > 0 && src == read_.src + read_bytes_;
      const bool writes_on = read_bytes_ > 0 && writes_ > 0 && write_[writes_ - 1].rows == 1 &&
                             dst == write_[writes_ - 1].dst + write_[writes_ - 1].bytes;
      const bool aligned = used_ % kAligned == 0;
      // What goes on at both sides needs no alignment between the runs.
      const u64 at = reads_on && writes_on ? used_ : AlignUp(used_);
      if (at >= kTileBytes || (writes_ == kMostWrites && !(writes_on && (reads_on || aligned)))) {
        Ship();
        continue;
      }
      const u64 now = bytes < kTileBytes - at ? bytes : kTileBytes - at;
      Open();
      if (reads_on && (writes_on || aligned)) {
        read_bytes_ += now;
      } else {
        Read();
        read_ = {src, static_cast<u32>(at)};
        read_bytes_ = now;
      }
      if (writes_on && (reads_on || aligned)) {
        write_[writes_ - 1].bytes += static_cast<u32>(now);
      } else {
        write_[writes_++] = {dst, static_cast<u32>(at), static_cast<u32>(now), 1, 0};
      }
      used_ = at + now;
      src += now;
      dst += now;
      bytes -= now;
    }
  }

  // Writes what is gathered. Must be called last.
  __aicore__ inline void Ship() {
    if (!open_) return;
    Read();
    queue_.EnQue(tile_);
    AscendC::LocalTensor<uint8_t> full = queue_.DeQue<uint8_t>();
    for (u32 i = 0; i < writes_; ++i) {
      const Write& w = write_[i];
      const u64 span = static_cast<u64>(w.rows - 1) * (w.bytes + static_cast<u64>(w.gap)) + w.bytes;
      AscendC::DataCopyPad(
          Memory(w.dst, span), full[w.local],
          AscendC::DataCopyExtParams(static_cast<uint16_t>(w.rows), w.bytes, 0, w.gap, 0));
    }
    queue_.FreeTensor(full);
    open_ = false;
    writes_ = 0;
    used_ = 0;
  }

 private:
  struct From {
    u64 src;
    u32 local;
  };
  struct Write {
    u64 dst;
    u32 local, bytes, rows, gap;
  };

  __aicore__ inline void Open() {
    if (open_) return;
    tile_ = queue_.AllocTensor<uint8_t>();
    open_ = true;
  }

  // Issues the read that runs were joined to.
  __aicore__ inline void Read() {
    if (read_bytes_ == 0) return;
    AscendC::DataCopyPad(
        tile_[read_.local], Memory(read_.src, read_bytes_),
        AscendC::DataCopyExtParams(1, static_cast<u32>(read_bytes_), 0, 0, 0),
        AscendC::DataCopyPadExtParams<uint8_t>(false, 0, 0, 0));
    read_bytes_ = 0;
  }

  __aicore__ inline void PutRows(u64 src, u64 dst, i64 rows, u64 bytes, i64 src_gap, i64 dst_gap) {
    Open();
    Read();
    const u32 at = static_cast<u32>(AlignUp(used_));
    const u64 span = static_cast<u64>(rows - 1) * (bytes + static_cast<u64>(src_gap)) + bytes;
    AscendC::DataCopyPad(
        tile_[at], Memory(src, span),
        AscendC::DataCopyExtParams(static_cast<uint16_t>(rows), static_cast<u32>(bytes),
                                   static_cast<u32>(src_gap), 0, 0),
        AscendC::DataCopyPadExtParams<uint8_t>(false, 0, 0, 0));
    write_[writes_++] = {dst, at, static_cast<u32>(bytes), static_cast<u32>(rows),
                         static_cast<u32>(dst_gap)};
    used_ = at + static_cast<u64>(rows) * AlignUp(bytes);
  }

  AscendC::TQueBind<AscendC::TPosition::VECIN, AscendC::TPosition::VECOUT, kTiles> queue_;
  AscendC::LocalTensor<uint8_t> tile_;
  Write write_[kMostWrites];
  From read_ = {0, 0};
  u64 read_bytes_ = 0;  // of the read that was not issued yet
  u64 used_ = 0;        // of the tile
  u32 writes_ = 0;
  bool open_ = false;
};

}  // namespace accel_ascend

#endif
