/* Runs of bytes from one place of global memory to another, gathered in tiles of memory near the
 * core. C++, shared by the vendors' kernels; define ACCEL_KV_FN before, as for accel/kv_address.h.
 *
 * A tile takes many runs: those that follow one another at their source are read by one instruction,
 * those that follow one another at their destination are written by one. The vendor's Tile takes
 * turns with another, so that one is filled while the other is emptied:
 *   kBytes, kAligned                      its size, and the step of addresses in it
 *   kMostRows, kMostGap                   of an instruction: its rows, and bytes between them
 *   Open()                                begins to fill a tile
 *   Read(local, src, rows, bytes, gap)    rows that lie `gap` bytes apart go to `local` of the tile,
 *                                         one every AlignUp(bytes)
 *   Full()                                all that was read is there
 *   Write(dst, local, rows, bytes, gap)   the way back
 *   Emptied()                             nothing more is written from it
 */
#ifndef ACCEL_KV_RUN_COPIER_H
#define ACCEL_KV_RUN_COPIER_H

#include "kv_address.h"

namespace accel_kv {

template <class Tile>
class RunCopier {
  typedef long long i64;
  typedef unsigned long long u64;

 public:
  /* `rows` runs of `bytes` bytes each, `src_step` and `dst_step` bytes apart. */
  ACCEL_KV_FN void Rows(u64 src, u64 dst, i64 rows, u64 bytes, i64 src_step, i64 dst_step) {
    const i64 src_gap = src_step - static_cast<i64>(bytes);
    const i64 dst_gap = dst_step - static_cast<i64>(bytes);
    const u64 local = AlignUp(bytes);
    const bool together = src_gap >= 0 && src_gap <= Tile::kMostGap && dst_gap >= 0 &&
                          dst_gap <= Tile::kMostGap && 2 * local <= Tile::kBytes;
    i64 done = 0;
    while (together && rows - done > 1) {
      i64 most = (Tile::kBytes - AlignUp(used_)) / local;
      if (most < 2 || writes_ == kMostWrites) {
        Ship();
        most = Tile::kBytes / local;
      }
      const i64 now = Least(Least(rows - done, Tile::kMostRows), most);
      PutRows(src + static_cast<u64>(done * src_step), dst + static_cast<u64>(done * dst_step), now,
              bytes, src_gap, dst_gap);
      done += now;
    }
    for (; done < rows; ++done) {
      Run(src + static_cast<u64>(done * src_step), dst + static_cast<u64>(done * dst_step), bytes);
    }
  }

  ACCEL_KV_FN void Run(u64 src, u64 dst, u64 bytes) {
    while (bytes > 0) {
      const bool reads_on = read_bytes_ > 0 && src == read_src_ + read_bytes_;
      const bool writes_on = read_bytes_ > 0 && writes_ > 0 && write_[writes_ - 1].rows == 1 &&
                             dst == write_[writes_ - 1].dst + write_[writes_ - 1].bytes;
      const bool aligned = used_ % Tile::kAligned == 0;
      /* What goes on at both sides needs no alignment between the runs. */
      const u64 at = reads_on && writes_on ? used_ : AlignUp(used_);
      const bool joins = writes_on && (reads_on || aligned);
      if (at >= Tile::kBytes || (writes_ == kMostWrites && !joins)) {
        Ship();
        continue;
      }
      const u64 now = bytes < Tile::kBytes - at ? bytes : Tile::kBytes - at;
      Open();
      if (reads_on && (writes_on || aligned)) {
        read_bytes_ += now;
      } else {
        Read();
        read_src_ = src;
        read_local_ = at;
        read_bytes_ = now;
      }
      if (joins) {
        write_[writes_ - 1].bytes += static_cast<unsigned int>(now);
      } else {
        write_[writes_++] = {dst, static_cast<unsigned int>(at), static_cast<unsigned int>(now), 1,
                             0};
      }
      used_ = at + now;
      src += now;
      dst += now;
      bytes -= now;
    }
  }

  /* Writes what is gathered. Must be called last. */
  ACCEL_KV_FN void Ship() {
    if (!open_) return;
    Read();
    tile.Full();
    for (unsigned int i = 0; i < writes_; ++i) {
      const Piece& w = write_[i];
      tile.Write(w.dst, w.local, w.rows, w.bytes, w.gap);
    }
    tile.Emptied();
    open_ = false;
    writes_ = 0;
    used_ = 0;
  }

  Tile tile;

 private:
  static constexpr unsigned int kMostWrites = 64; /* instructions that empty a tile */

  struct Piece {
    u64 dst;
    unsigned int local, bytes, rows, gap;
  };

  static ACCEL_KV_FN i64 Least(i64 a, i64 b) { return a < b ? a : b; }
  static ACCEL_KV_FN u64 AlignUp(u64 bytes) {
    return (bytes + Tile::kAligned - 1) / Tile::kAligned * Tile::kAligned;
  }

  ACCEL_KV_FN void Open() {
    if (!open_) tile.Open();
    open_ = true;
  }

  /* Issues the read that runs were joined to. */
  ACCEL_KV_FN void Read() {
    if (read_bytes_ == 0) return;
    tile.Read(read_local_, read_src_, 1, read_bytes_, 0);
    read_bytes_ = 0;
  }

  ACCEL_KV_FN void PutRows(u64 src, u64 dst, i64 rows, u64 bytes, i64 src_gap, i64 dst_gap) {
    Open();
    Read();
    const u64 at = AlignUp(used_);
    tile.Read(at, src, rows, bytes, src_gap);
    write_[writes_++] = {dst, static_cast<unsigned int>(at), static_cast<unsigned int>(bytes),
                         static_cast<unsigned int>(rows), static_cast<unsigned int>(dst_gap)};
    used_ = at + static_cast<u64>(rows) * AlignUp(bytes);
  }

  Piece write_[kMostWrites];
  u64 read_src_ = 0, read_local_ = 0;
  u64 read_bytes_ = 0; /* of the read that was not issued yet */
  u64 used_ = 0;       /* of the tile */
  unsigned int writes_ = 0;
  bool open_ = false;
};

}  // namespace accel_kv

#endif /* ACCEL_KV_RUN_COPIER_H */
