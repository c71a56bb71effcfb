// Strided copies of KV caches: every layout, one launch for all layers and planes.
//
// kv_copy_rows: neighbouring threads take neighbouring vectors of 16 bytes (or fewer, as alignment
// allows), so that the units of a block, which follow one another, are read and written as one run.
// kv_copy_turned_<bytes of an element>: runs of 16 bytes or fewer whose neighbours lie along
// different axes on the two sides (vectorised keys, values kept as [head dim, slot]): squares of 16
// by 16 bytes are turned in registers, so that both sides move whole vectors.
//
// All stride over their tiles, so that a launch of few blocks does the same work: that is how the
// share of the device that a transfer to or from the host may use is bounded.
#include "device.h"

#include "copy_places.h"

namespace {

constexpr accel_u32 kThreads = ACCEL_COPY_THREADS;
constexpr accel_u32 kLoads = ACCEL_COPY_LOADS;

// --- rows ------------------------------------------------------------------------------------------

// The bytes of a vector that a run's ends leave of it.
ACCEL_DEVICE void copy_part(accel_u8* to, const accel_u8* from, accel_u32 bytes) {
  for (accel_u32 i = 0; i < bytes; ++i) accel_store(to + i, accel_load(from + i));
}

template <accel_u32 kWidth>
ACCEL_DEVICE void copy_rows(const accel_copy_args& args, const accel_copy_kind& kind,
                            CopyBases bases, accel_u32 tile, accel_u32 units) {
  typedef accel_vector<kWidth> Vector;
  const accel_u32 first = tile * (kThreads * kLoads) + accel_thread();
  Vector held[kLoads];
  accel_u8* to[kLoads];
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kLoads; ++k) {
    const accel_u32 n = first + k * kThreads;
    to[k] = nullptr;
    if (n >= kind.total) continue;
    const accel_u32 row = quotient(n, kind.vectors), vector = n - row * kind.vectors.by;
    const accel_u32 unit = quotient(row, kind.runs);
    accel_i64 src, dst;
    if (unit >= units || !unit_places(args, kind, unit, &src, &dst)) continue;
    add_axes(kind, kind.ndim, row - unit * kind.runs.by, &src, &dst);
    const accel_u32 end = (vector + 1) * kWidth - kind.lead;
    const accel_u32 begin = vector == 0 ? 0 : end - kWidth;
    const accel_u32 stop = accel_min(end, kind.run_bytes);
    const accel_u8* const from = bases.src + src + begin;
    accel_u8* const there = bases.dst + dst + begin;
    if (stop - begin != kWidth) {
      copy_part(there, from, stop - begin);
      continue;
    }
    held[k] = accel_load_stream(reinterpret_cast<const Vector*>(from));
    to[k] = there;
  }
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kLoads; ++k) {
    if (to[k] != nullptr) accel_store_stream(reinterpret_cast<Vector*>(to[k]), held[k]);
  }
}

// --- squares ---------------------------------------------------------------------------------------

// 16 bytes of a square: elements that are neighbours in memory.
struct Line {
  accel_u32 word[4];
};

ACCEL_DEVICE Line load_line(const accel_u8* p) {
  const accel_u32x4 v = accel_load_stream(reinterpret_cast<const accel_u32x4*>(p));
  return {{v.x, v.y, v.z, v.w}};
}

ACCEL_DEVICE void store_line(accel_u8* p, const Line& line) {
  const accel_u32x4 v = {line.word[0], line.word[1], line.word[2], line.word[3]};
  accel_store_stream(reinterpret_cast<accel_u32x4*>(p), v);
}

// Swaps the off-diagonal parts of every pair of lines that are kApart elements of kWidth bytes apart.
template <accel_u32 kWidth, accel_u32 kApart>
ACCEL_DEVICE void swap_parts(Line* lines) {
  constexpr accel_u32 kLines = 16 / kWidth, kBytes = kApart * kWidth;
  ACCEL_UNROLL
  for (accel_u32 i = 0; i < kLines; ++i) {
    if (i & kApart) continue;
    accel_u32* const x = lines[i].word;
    accel_u32* const y = lines[i + kApart].word;
    if constexpr (kBytes >= 4) {
      ACCEL_UNROLL
      for (accel_u32 w = 0; w < 4; ++w) {
        if (w & (kBytes / 4)) continue;
        const accel_u32 upper = x[w + kBytes / 4];
        x[w + kBytes / 4] = y[w];
        y[w] = upper;
      }
    } else {
      constexpr accel_u32 kLow = kBytes == 2 ? 0x0000FFFFu : 0x00FF00FFu, kShift = 8 * kBytes;
      ACCEL_UNROLL
      for (accel_u32 w = 0; w < 4; ++w) {
        const accel_u32 a = x[w], b = y[w];
        x[w] = (a & kLow) | ((b & kLow) << kShift);
        y[w] = ((a >> kShift) & kLow) | (b & ~kLow);
      }
    }
  }
}

template <accel_u32 kWidth>
ACCEL_DEVICE void turn(Line* lines) {
  if constexpr (kWidth <= 1) swap_parts<kWidth, 8 / kWidth>(lines);
  if constexpr (kWidth <= 2) swap_parts<kWidth, 4>(lines);
  if constexpr (kWidth <= 4) swap_parts<kWidth, 2>(lines);
  if constexpr (kWidth <= 8) swap_parts<kWidth, 1>(lines);
}

template <accel_u32 kWidth>
ACCEL_DEVICE void copy_squares(const accel_copy_args& args, const accel_copy_kind& kind,
                               CopyBases bases, accel_u32 tile, accel_u32 units) {
  constexpr accel_u32 kSide = 16 / kWidth;
  constexpr accel_u32 kSquares = kSide < kLoads ? kLoads / kSide : 1;
  const accel_quotient& along_size = kind.size[kind.ndim - 2];
  const accel_quotient& across_size = kind.size[kind.ndim - 1];
  const accel_u32 first = tile * (kThreads * kSquares) + accel_thread();
  Line held[kSquares][kSide];
  accel_u8* to[kSquares];
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kSquares; ++k) {
    const accel_u32 n = first + k * kThreads;
    to[k] = nullptr;
    if (n >= kind.total) continue;
    // Fastest: a few squares along the source's neighbours, then all along the destination's.
    accel_u32 rest = quotient(n, kind.vectors);
    accel_u32 along = n - rest * kind.vectors.by;
    const accel_u32 next = quotient(rest, across_size);
    const accel_u32 across = rest - next * across_size.by;
    rest = quotient(next, along_size);
    along += (next - rest * along_size.by) * kind.vectors.by;
    accel_i64 within_src = 0, within_dst = 0, src, dst;
    const accel_u32 unit = add_axes(kind, kind.ndim - 2, rest, &within_src, &within_dst);
    if (unit >= units || !unit_places(args, kind, unit, &src, &dst)) continue;
    src += within_src + along * 16 + across * kSide * kind.turn_src;
    dst += within_dst + across * 16 + along * kSide * kind.turn_dst;
    to[k] = bases.dst + dst;
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < kSide; ++i) {
      held[k][i] = load_line(bases.src + src + i * kind.turn_src);
    }
  }
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kSquares; ++k) {
    if (to[k] == nullptr) continue;
    turn<kWidth>(held[k]);
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < kSide; ++i) store_line(to[k] + i * kind.turn_dst, held[k][i]);
  }
}

template <accel_u32 kWidth>
ACCEL_DEVICE void copy_all_squares(const accel_copy_args& args) {
  const accel_u32 units = units_of(args);
  for (accel_u32 t = accel_block_x(); t < args.tiles; t += accel_grid_x()) {
    accel_u32 tile = t;
    const accel_copy_kind& kind = kind_of(args, &tile);
    const CopyPlace place = place_of(kind, tile);
    copy_squares<kWidth>(args, kind, bases_of(args, place.base), place.tile, units);
  }
}

}  // namespace

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, 1, kv_copy_rows, accel_copy_args, args) {
  const accel_u32 units = units_of(args);
  for (accel_u32 t = accel_block_x(); t < args.tiles; t += accel_grid_x()) {
    accel_u32 tile = t;
    const accel_copy_kind& kind = kind_of(args, &tile);
    const CopyPlace place = place_of(kind, tile);
    const CopyBases bases = bases_of(args, place.base);
    switch (kind.width) {
      case 16: copy_rows<16>(args, kind, bases, place.tile, units); break;
      case 8: copy_rows<8>(args, kind, bases, place.tile, units); break;
      case 4: copy_rows<4>(args, kind, bases, place.tile, units); break;
      case 2: copy_rows<2>(args, kind, bases, place.tile, units); break;
      default: copy_rows<1>(args, kind, bases, place.tile, units);
    }
  }
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, 1, kv_copy_turned_1, accel_copy_args, args) {
  copy_all_squares<1>(args);
}
ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, 1, kv_copy_turned_2, accel_copy_args, args) {
  copy_all_squares<2>(args);
}
ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, 1, kv_copy_turned_4, accel_copy_args, args) {
  copy_all_squares<4>(args);
}
ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, 1, kv_copy_turned_8, accel_copy_args, args) {
  copy_all_squares<8>(args);
}
ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, 1, kv_copy_turned_16, accel_copy_args, args) {
  copy_all_squares<16>(args);
}
