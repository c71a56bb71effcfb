/* Copies and fills of memory with any strides, in units as wide as addresses and strides allow.
 * Memory is the device's own or page-locked host memory; the host has checked both. */
#include "device.h"
#include "strided_args.h"

namespace {

struct places {
  accel_u64 dst, src;
};

template <bool Small>
ACCEL_DEVICE places place_of_unit(const accel_strided_args& args, accel_u64 unit) {
  places at = {args.dst, args.src};
  accel_u64 rest = unit;
  for (accel_u32 k = args.axes; k-- > 0;) {
    const accel_strided_axis& axis = args.axis[k];
    accel_u64 quotient;
    if (Small) {
      quotient = (rest * axis.magic) >> axis.shift;
    } else {
      quotient = rest / axis.extent;
    }
    const accel_i64 index = (accel_i64)(rest - quotient * axis.extent);
    at.dst += (accel_u64)(index * axis.dst);
    at.src += (accel_u64)(index * axis.src);
    rest = quotient;
  }
  return at;
}

/* Blocks take turns; a thread loads a few units, far enough apart to stay side by side with its
 * neighbours', before it stores the first. Loads go through L1: where units lie apart in the source,
 * neighbours find theirs in lines that were loaded before. */
template <unsigned Unit, bool Small>
ACCEL_DEVICE void copy_units(const accel_strided_args& args) {
  typedef accel_vector<Unit> V;
  const accel_u64 step = (accel_u64)accel_grid_x() * ACCEL_STRIDED_THREADS;
  accel_u64 unit = (accel_u64)accel_block_x() * ACCEL_STRIDED_THREADS + accel_thread();
  for (; unit < args.units; unit += step * ACCEL_STRIDED_UNROLL) {
    accel_u64 target[ACCEL_STRIDED_UNROLL];
    V value[ACCEL_STRIDED_UNROLL];
    ACCEL_UNROLL
    for (int i = 0; i < ACCEL_STRIDED_UNROLL; ++i) {
      const accel_u64 n = unit + (accel_u64)i * step;
      if (n >= args.units) break;
      const places at = place_of_unit<Small>(args, n);
      target[i] = at.dst;
      value[i] = accel_load(accel_pointer<const V>(at.src));
    }
    ACCEL_UNROLL
    for (int i = 0; i < ACCEL_STRIDED_UNROLL; ++i) {
      if (unit + (accel_u64)i * step >= args.units) break;
      accel_store(accel_pointer<V>(target[i]), value[i]);
    }
  }
}

template <unsigned Unit>
ACCEL_DEVICE void copy_strided(const accel_strided_args& args) {
  if (args.units < ACCEL_STRIDED_SMALL) {
    copy_units<Unit, true>(args);
  } else {
    copy_units<Unit, false>(args);
  }
}

/* A group of 32 threads takes a part of a row: it divides once for all of it. */
template <unsigned Unit, bool Small>
ACCEL_DEVICE void copy_parts(const accel_strided_args& args) {
  typedef accel_vector<Unit> V;
  const accel_u32 each = Unit == 16 ? 4 : 8;  // units that a thread holds: more would spill
  const accel_u32 groups = ACCEL_STRIDED_THREADS / ACCEL_GROUP_SIZE;
  const accel_u64 step = (accel_u64)accel_grid_x() * groups;
  const accel_strided_axis& parts = args.axis[args.axes - 1];
  for (accel_u64 n = (accel_u64)accel_block_x() * groups + accel_group(); n < args.units;
       n += step) {
    const places at = place_of_unit<Small>(args, n);
    const accel_u64 part = n % parts.extent;
    const accel_u64 left = args.row.extent - part * ACCEL_ROW_PART;
    for (accel_u32 k = accel_lane(); k < ACCEL_ROW_PART; k += each * ACCEL_GROUP_SIZE) {
      V value[each];
      ACCEL_UNROLL
      for (accel_u32 i = 0; i < each; ++i) {
        const accel_u32 unit = k + i * ACCEL_GROUP_SIZE;
        if (unit >= left) continue;
        value[i] = accel_load_stream(
            accel_pointer<const V>(at.src + (accel_u64)((accel_i64)unit * args.row.src)));
      }
      ACCEL_UNROLL
      for (accel_u32 i = 0; i < each; ++i) {
        const accel_u32 unit = k + i * ACCEL_GROUP_SIZE;
        if (unit >= left) continue;
        accel_store(accel_pointer<V>(at.dst + (accel_u64)((accel_i64)unit * args.row.dst)),
                    value[i]);
      }
    }
  }
}

template <unsigned Unit>
ACCEL_DEVICE void copy_rows(const accel_strided_args& args) {
  if (args.units < ACCEL_STRIDED_SMALL) {
    copy_parts<Unit, true>(args);
  } else {
    copy_parts<Unit, false>(args);
  }
}

template <unsigned Unit>
ACCEL_DEVICE void fill_strided(const accel_strided_args& args) {
  typedef accel_vector<Unit> V;
  union {
    accel_u32 words[4];
    V value;
  } filled;
  ACCEL_UNROLL
  for (int i = 0; i < 4; ++i) filled.words[i] = args.value;
  const bool small = args.units < ACCEL_STRIDED_SMALL;
  const accel_u64 step = (accel_u64)accel_grid_x() * ACCEL_STRIDED_THREADS;
  accel_u64 unit = (accel_u64)accel_block_x() * ACCEL_STRIDED_THREADS + accel_thread();
  for (; unit < args.units; unit += step) {
    const places at = small ? place_of_unit<true>(args, unit) : place_of_unit<false>(args, unit);
    accel_store(accel_pointer<V>(at.dst), filled.value);
  }
}

/* A tile is read along the source's short axis and written along the destination's: both sides move
 * whole lines. `tile` holds ACCEL_TILE rows of ACCEL_TILE + 1 units, so that columns do not meet in
 * one bank. */
template <unsigned Unit>
ACCEL_DEVICE void copy_tiles(const accel_tiles_args& args, accel_vector<Unit>* tile) {
  typedef accel_vector<Unit> V;
  const accel_u32 column = accel_thread() % ACCEL_TILE, row = accel_thread() / ACCEL_TILE;
  for (accel_u64 n = accel_block_x(); n < args.tiles; n += accel_grid_x()) {
    accel_u64 rest = n;
    const accel_u64 first_dst = rest % args.tiles_along_dst * ACCEL_TILE;
    rest /= args.tiles_along_dst;
    const accel_u64 first_src = rest % args.tiles_along_src * ACCEL_TILE;
    rest /= args.tiles_along_src;
    accel_u64 dst = args.dst, src = args.src;
    for (accel_u32 k = args.axes; k-- > 0;) {
      const accel_i64 index = (accel_i64)(rest % args.axis[k].extent);
      rest /= args.axis[k].extent;
      dst += (accel_u64)(index * args.axis[k].dst);
      src += (accel_u64)(index * args.axis[k].src);
    }
    for (accel_u32 r = row; r < ACCEL_TILE; r += ACCEL_TILE_ROWS) {
      const accel_u64 i = first_dst + r, j = first_src + column;
      if (i >= args.along_dst.extent || j >= args.along_src.extent) continue;
      const accel_i64 offset =
          (accel_i64)i * args.along_dst.src + (accel_i64)j * args.along_src.src;
      tile[r * (ACCEL_TILE + 1) + column] =
          accel_load_stream(accel_pointer<const V>(src + (accel_u64)offset));
    }
    accel_sync_threads();
    for (accel_u32 r = row; r < ACCEL_TILE; r += ACCEL_TILE_ROWS) {
      const accel_u64 i = first_dst + column, j = first_src + r;
      if (i >= args.along_dst.extent || j >= args.along_src.extent) continue;
      const accel_i64 offset =
          (accel_i64)i * args.along_dst.dst + (accel_i64)j * args.along_src.dst;
      accel_store(accel_pointer<V>(dst + (accel_u64)offset),
                  tile[column * (ACCEL_TILE + 1) + r]);
    }
    accel_sync_threads();
  }
}

}  // namespace

#define ACCEL_STRIDED_KERNELS(unit)                                                       \
  ACCEL_KERNEL_BOUNDS(ACCEL_STRIDED_THREADS, 4, copy_strided_##unit, accel_strided_args,  \
                      args) {                                                             \
    copy_strided<unit>(args);                                                             \
  }                                                                                       \
  ACCEL_KERNEL_BOUNDS(ACCEL_STRIDED_THREADS, 4, copy_rows_##unit, accel_strided_args,     \
                      args) {                                                             \
    copy_rows<unit>(args);                                                                \
  }                                                                                       \
  ACCEL_KERNEL_BOUNDS(ACCEL_STRIDED_THREADS, 4, fill_strided_##unit, accel_strided_args,  \
                      args) {                                                             \
    fill_strided<unit>(args);                                                             \
  }                                                                                       \
  ACCEL_KERNEL_BOUNDS(ACCEL_STRIDED_THREADS, 4, copy_tiles_##unit, accel_tiles_args, args) { \
    ACCEL_SHARED accel_vector<unit> tile[ACCEL_TILE * (ACCEL_TILE + 1)];                  \
    copy_tiles<unit>(args, tile);                                                         \
  }

ACCEL_STRIDED_KERNELS(1)
ACCEL_STRIDED_KERNELS(2)
ACCEL_STRIDED_KERNELS(4)
ACCEL_STRIDED_KERNELS(8)
ACCEL_STRIDED_KERNELS(16)
