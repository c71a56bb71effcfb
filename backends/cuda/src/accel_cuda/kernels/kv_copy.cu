// Strided copies of KV caches: every layout, one launch for all layers and planes.
//
// kv_copy_rows_<bytes of a vector>: neighbouring threads take neighbouring vectors, of 16 bytes or fewer as
// alignment allows, so that the units of a block, which follow one another, are read and written as one run.
// kv_copy_turned_<bytes of an element>: runs of 16 bytes or fewer whose neighbours lie along
// different axes on the two sides (vectorised keys, values kept as [head dim, slot]): squares of 16
// by 16 bytes are turned in registers, so that both sides move whole vectors. Where their lines lie
// in short stretches on one side, 32 threads exchange them through shared memory, so that they read
// or write long ones.
//
// A block first looks up where the rows (or units) of its tile lie, one thread for each, and keeps
// that in shared memory; the vectors that follow need no index, no base and no axis, and are all
// under way at once. Blocks stride over the tiles, so that a launch of few blocks does the same work:
// that is how the share of the device that a transfer to or from the host may use is bounded.
#include "device.h"

#include "copy_places.h"

// Blocks that shall fit a multiprocessor at once, without spilling.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
#define KV_COPY_RESIDENT 4
#else
#define KV_COPY_RESIDENT 7
#endif
// The same of the kernels that turn, and of the one that turns bytes.
#define KV_COPY_TURNED_RESIDENT 5
#define KV_COPY_BYTES_RESIDENT 3
// The same of the kernels of whole vectors. Turing has room for eight.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ >= 1000 || __CUDA_ARCH__ < 800)
#define KV_COPY_WHOLE_RESIDENT 8
#else
#define KV_COPY_WHOLE_RESIDENT 10
#endif

namespace {

constexpr accel_u32 kThreads = ACCEL_COPY_THREADS;

// Where a row or a unit begins on both sides; `dst` 0: it is skipped.
struct alignas(16) Place {
  accel_u64 src, dst;
};

// --- rows ------------------------------------------------------------------------------------------

template <class Args>
ACCEL_DEVICE void find_rows(const Args& args, const accel_copy_kind& kind,
                            CopyBases bases, accel_u32 first, accel_u32 count, accel_u32 units,
                            Place* rows) {
  for (accel_u32 r = accel_thread(); r < count; r += kThreads) {
    const accel_u32 row = first + r, unit = quotient(row, kind.runs);
    accel_i64 src, dst;
    Place place = {0, 0};
    if (unit < units && unit_places(args, kind, unit, &src, &dst)) {
      add_axes(kind, kind.ndim, row - unit * kind.runs.by, &src, &dst);
      place = {bases.src + static_cast<accel_u64>(src), bases.dst + static_cast<accel_u64>(dst)};
    }
    rows[r] = place;
  }
}

// The bytes of a vector that a run's ends leave of it.
ACCEL_DEVICE void copy_part(accel_u64 to, accel_u64 from, accel_u32 bytes) {
  for (accel_u32 i = 0; i < bytes; ++i) {
    accel_store(accel_pointer<accel_u8>(to + i), accel_load(accel_pointer<accel_u8>(from + i)));
  }
}

// `count` vectors, the first of which is vector `skip` of the first row. With kWhole all are whole.
template <accel_u32 kWidth, bool kWhole>
ACCEL_DEVICE void copy_vectors(const accel_copy_kind& kind, const Place* rows, accel_u32 skip,
                               accel_u32 count) {
  typedef accel_vector<kWidth> Vector;
  constexpr accel_u32 kCount = ACCEL_COPY_ROW_LOADS(kWidth);
  Vector held[kCount];
  accel_u64 to[kCount];
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kCount; ++k) {
    const accel_u32 n = k * kThreads + accel_thread();
    const accel_u32 at = skip + (n < count ? n : 0);
    const accel_u32 r = quotient(at, kind.vectors), vector = at - r * kind.vectors.by;
    const Place row = rows[r];
    accel_u32 begin = vector * kWidth;
    bool moves = n < count && row.dst != 0;
    if constexpr (!kWhole) {
      const accel_u32 end = accel_min(begin + kWidth - kind.lead, kind.run_bytes);
      begin = vector == 0 ? 0 : begin - kind.lead;
      if (moves && end - begin != kWidth) {
        copy_part(row.dst + begin, row.src + begin, end - begin);
        moves = false;
      }
    }
    to[k] = moves ? row.dst + begin : 0;
    if (moves) held[k] = accel_load(accel_pointer<const Vector>(row.src + begin));
  }
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kCount; ++k) {
    if (to[k] != 0) accel_store(accel_pointer<Vector>(to[k]), held[k]);
  }
}

// --- squares ---------------------------------------------------------------------------------------

template <class Args>
ACCEL_DEVICE void find_units(const Args& args, const accel_copy_kind& kind,
                             CopyBases bases, accel_u32 first, accel_u32 count, accel_u32 units,
                             Place* places) {
  for (accel_u32 i = accel_thread(); i < count; i += kThreads) {
    accel_i64 src, dst;
    Place place = {0, 0};
    if (first + i < units && unit_places(args, kind, first + i, &src, &dst)) {
      place = {bases.src + static_cast<accel_u64>(src), bases.dst + static_cast<accel_u64>(dst)};
    }
    places[i] = place;
  }
}

// 16 bytes of a square: elements that are neighbours in memory.
struct Line {
  accel_u32 word[4];
};

ACCEL_DEVICE Line load_line(accel_u64 address) {
  const accel_u32x4 v = accel_load(accel_pointer<const accel_u32x4>(address));
  return {{v.x, v.y, v.z, v.w}};
}

ACCEL_DEVICE void store_line(accel_u64 address, const Line& line) {
  const accel_u32x4 v = {line.word[0], line.word[1], line.word[2], line.word[3]};
  accel_store(accel_pointer<accel_u32x4>(address), v);
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
      ACCEL_UNROLL
      for (accel_u32 w = 0; w < 4; ++w) {
        const accel_u32 a = x[w], b = y[w];
        x[w] = accel_byte_permute(a, b, kBytes == 2 ? 0x5410 : 0x6240);
        y[w] = accel_byte_permute(a, b, kBytes == 2 ? 0x7632 : 0x7351);
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

// A group of threads holds 32 squares, numbered so that 2^shift of them lie side by side on the side of
// memory that is dealt out line by line, where the lines of all follow one another in one order.
template <accel_u32 kSide>
ACCEL_DEVICE accel_u32 line_of(accel_u32 square, accel_u32 i, accel_u32 shift) {
  const accel_u32 row = square >> shift, column = square - (row << shift);
  return ((row * kSide + i) << shift) + column;
}

// The square that line `n` belongs to, and which of its lines it is.
template <accel_u32 kSide>
ACCEL_DEVICE accel_u32 square_of(accel_u32 n, accel_u32 shift, accel_u32* i) {
  const accel_u32 row = n >> shift, column = n - (row << shift);
  *i = row % kSide;
  return (row / kSide << shift) + column;
}

// Where a line is kept: one after every eight is left free, so that neither neighbouring lines nor
// the same ones of neighbouring squares meet in a bank.
template <accel_u32 kWidth>
constexpr accel_u32 kKeptLines = 36 * (16 / kWidth);

ACCEL_DEVICE accel_u32 kept_at(accel_u32 line) { return line + line / 8; }

ACCEL_DEVICE void keep_line(accel_u32x4* kept, accel_u32 line, const Line& v) {
  kept[kept_at(line)] = {v.word[0], v.word[1], v.word[2], v.word[3]};
}

ACCEL_DEVICE Line kept_line(const accel_u32x4* kept, accel_u32 line) {
  const accel_u32x4 v = kept[kept_at(line)];
  return {{v.x, v.y, v.z, v.w}};
}

// `count` squares, the first of which is square `skip` of the first unit. `kept`: shared memory of
// this group of threads, for the lines of a square each.
template <accel_u32 kWidth>
ACCEL_DEVICE void copy_squares(const accel_copy_kind& kind, const Place* units, accel_u32 skip,
                               accel_u32 count, accel_u32x4* kept) {
  constexpr accel_u32 kSide = 16 / kWidth;
  constexpr accel_u32 kSquares = ACCEL_COPY_SQUARES(kWidth);
  const accel_quotient& along_size = kind.size[kind.ndim - 2];
  const accel_quotient& across_size = kind.size[kind.ndim - 1];
  Line held[kSquares][kSide];
  accel_u64 to[kSquares];
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kSquares; ++k) {
    const accel_u32 n = k * kThreads + accel_thread();
    const accel_u32 at = skip + (n < count ? n : 0);
    const accel_u32 unit = quotient(at, kind.runs), square = at - unit * kind.runs.by;
    const Place place = units[unit];
    // Fastest: a few squares along the source's neighbours, then all along the destination's.
    accel_u32 rest = quotient(square, kind.vectors);
    accel_u32 along = square - rest * kind.vectors.by;
    const accel_u32 next = quotient(rest, across_size);
    const accel_u32 across = rest - next * across_size.by;
    rest = quotient(next, along_size);
    along += (next - rest * along_size.by) * kind.vectors.by;
    accel_i64 src = along * 16 + across * kSide * kind.turn_src;
    accel_i64 dst = across * 16 + along * kSide * kind.turn_dst;
    add_axes(kind, kind.ndim - 2, rest, &src, &dst);
    const bool moves = n < count && place.dst != 0;
    to[k] = moves ? place.dst + static_cast<accel_u64>(dst) : 0;
    const accel_u64 from = moves ? place.src + static_cast<accel_u64>(src) : 0;
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < kSide; ++i) {
      accel_u64 first = from;
      accel_u32 row = i;
      if (kSide > 1 && kind.dealt == ACCEL_COPY_DEALT_SRC) {
        const accel_u32 line = i * 32 + accel_lane();
        first = accel_shuffle(from, square_of<kSide>(line, kind.beside_shift, &row));
      }
      const accel_i64 further = static_cast<accel_i64>(row) * kind.turn_src;
      if (first != 0) held[k][i] = load_line(first + static_cast<accel_u64>(further));
    }
  }
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kSquares; ++k) {
    if (kSide > 1 && kind.dealt == ACCEL_COPY_DEALT_SRC) {
      accel_sync_group();
      ACCEL_UNROLL
      for (accel_u32 i = 0; i < kSide; ++i) keep_line(kept, i * 32 + accel_lane(), held[k][i]);
      accel_sync_group();
      ACCEL_UNROLL
      for (accel_u32 i = 0; i < kSide; ++i) {
        held[k][i] = kept_line(kept, line_of<kSide>(accel_lane(), i, kind.beside_shift));
      }
    }
    turn<kWidth>(held[k]);
    if (kSide > 1 && kind.dealt == ACCEL_COPY_DEALT_DST) {
      accel_sync_group();
      ACCEL_UNROLL
      for (accel_u32 i = 0; i < kSide; ++i) {
        keep_line(kept, line_of<kSide>(accel_lane(), i, kind.beside_shift), held[k][i]);
      }
      accel_sync_group();
    }
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < kSide; ++i) {
      accel_u64 first = to[k];
      accel_u32 row = i;
      if (kSide > 1 && kind.dealt == ACCEL_COPY_DEALT_DST) {
        const accel_u32 line = i * 32 + accel_lane();
        first = accel_shuffle(to[k], square_of<kSide>(line, kind.beside_shift, &row));
        held[k][i] = kept_line(kept, line);
      }
      const accel_i64 further = static_cast<accel_i64>(row) * kind.turn_dst;
      if (first != 0) store_line(first + static_cast<accel_u64>(further), held[k][i]);
    }
  }
}

// --- tiles -----------------------------------------------------------------------------------------

// A tile of kTile vectors (or squares) of one base; kind.vectors or kind.runs of them have a place.
struct Tile {
  accel_u32 first, skip, count, places;
};

ACCEL_DEVICE Tile tile_of(const accel_copy_kind& kind, const accel_quotient& each, accel_u32 index,
                          accel_u32 size) {
  const accel_u32 begin = index * size, end = accel_min(begin + size, kind.total);
  const accel_u32 first = quotient(begin, each);
  return {first, begin - first * each.by, end - begin, quotient(end - 1, each) - first + 1};
}

template <accel_u32 kWidth, class Args>
ACCEL_DEVICE void copy_all_rows(const Args& args, Place* rows) {
  const accel_u32 units = units_of(args);
  for (accel_u32 t = accel_block_x(); t < args.head.tiles; t += accel_grid_x()) {
    accel_u32 index = t;
    const accel_copy_kind& kind = kind_of(args, &index);
    const CopyPlace place = place_of(kind, index);
    const Tile tile =
        tile_of(kind, kind.vectors, place.tile, kThreads * ACCEL_COPY_ROW_LOADS(kWidth));
    find_rows(args, kind, bases_of(args, place.base), tile.first, tile.places, units, rows);
    accel_sync_threads();
    if (kind.whole) {
      copy_vectors<kWidth, true>(kind, rows, tile.skip, tile.count);
    } else {
      copy_vectors<kWidth, false>(kind, rows, tile.skip, tile.count);
    }
    if (t + accel_grid_x() < args.head.tiles) accel_sync_threads();
  }
}

template <accel_u32 kWidth, class Args>
ACCEL_DEVICE void copy_all_squares(const Args& args, Place* places, accel_u32x4* kept) {
  constexpr accel_u32 kTile = kThreads * ACCEL_COPY_SQUARES(kWidth);
  const accel_u32 units = units_of(args);
  for (accel_u32 t = accel_block_x(); t < args.head.tiles; t += accel_grid_x()) {
    accel_u32 index = t;
    const accel_copy_kind& kind = kind_of(args, &index);
    const CopyPlace place = place_of(kind, index);
    const Tile tile = tile_of(kind, kind.runs, place.tile, kTile);
    find_units(args, kind, bases_of(args, place.base), tile.first, tile.places, units, places);
    accel_sync_threads();
    copy_squares<kWidth>(kind, places, tile.skip, tile.count,
                         kept + accel_group() * kKeptLines<kWidth>);
    if (t + accel_grid_x() < args.head.tiles) accel_sync_threads();
  }
}

}  // namespace

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_RESIDENT, kv_copy_rows_1, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, rows);
  copy_all_rows<1>(args, rows);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_RESIDENT, kv_copy_rows_2, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, rows);
  copy_all_rows<2>(args, rows);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_RESIDENT, kv_copy_rows_4, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, rows);
  copy_all_rows<4>(args, rows);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_RESIDENT, kv_copy_rows_8, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, rows);
  copy_all_rows<8>(args, rows);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_WHOLE_RESIDENT, kv_copy_rows_16, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, rows);
  copy_all_rows<16>(args, rows);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_BYTES_RESIDENT, kv_copy_turned_1, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, places);
  ACCEL_SHARED accel_u32x4 kept[kThreads / 32 * kKeptLines<1>];
  copy_all_squares<1>(args, places, kept);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_TURNED_RESIDENT, kv_copy_turned_2, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, places);
  ACCEL_SHARED accel_u32x4 kept[kThreads / 32 * kKeptLines<2>];
  copy_all_squares<2>(args, places, kept);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_TURNED_RESIDENT, kv_copy_turned_4, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, places);
  ACCEL_SHARED accel_u32x4 kept[kThreads / 32 * kKeptLines<4>];
  copy_all_squares<4>(args, places, kept);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_TURNED_RESIDENT, kv_copy_turned_8, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, places);
  ACCEL_SHARED accel_u32x4 kept[kThreads / 32 * kKeptLines<8>];
  copy_all_squares<8>(args, places, kept);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_TURNED_RESIDENT, kv_copy_turned_16, accel_copy_args,
                    args) {
  ACCEL_DYNAMIC_SHARED(Place, places);
  copy_all_squares<16>(args, places, nullptr);
}

ACCEL_KERNEL_BOUNDS(ACCEL_COPY_THREADS, KV_COPY_WHOLE_RESIDENT, kv_copy_rows_16_few,
                    accel_copy_few_args, args) {
  ACCEL_DYNAMIC_SHARED(Place, rows);
  copy_all_rows<16>(args, rows);
}
