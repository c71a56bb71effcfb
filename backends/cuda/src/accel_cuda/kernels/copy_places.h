/* Where the units of a strided copy lie, and what a block of a launch does: for kernels that take
 * accel_copy_args. The arithmetic is that of accel/kv_address.h, its divisions prepared. */
#ifndef ACCEL_CUDA_COPY_PLACES_H
#define ACCEL_CUDA_COPY_PLACES_H

#include "device.h"

#include "fault.h"
#include "kv_copy_args.h"

ACCEL_DEVICE accel_u32 quotient(accel_u32 n, const accel_quotient& q) {
  return (accel_mul_high(n, q.magic) + n) >> q.shift;
}

/* Index `i` of a list, unchecked. */
template <class Args>
ACCEL_DEVICE accel_i64 listed_index(const Args& args, const accel_copy_list& list,
                                    accel_u32 i) {
  switch (list.form) {
    case ACCEL_COPY_COUNTED: return i;
    case ACCEL_COPY_HERE:
      return reinterpret_cast<const accel_i32*>(args.words)[static_cast<accel_u32>(list.data) + i];
    case ACCEL_COPY_INT32: return accel_pointer<const accel_i32>(list.data)[i * list.stride];
    default: return accel_pointer<const accel_i64>(list.data)[i * list.stride];
  }
}

/* Byte offset of a unit from the base of its plane; `index` is not negative. */
ACCEL_DEVICE accel_i64 unit_offset(const accel_copy_side& side, accel_i64 index) {
  if (side.magic == 0) return index * side.block_stride;
  const accel_i64 block =
      static_cast<accel_i64>(accel_mul_high(static_cast<accel_u64>(index), side.magic));
  return block * side.block_stride + (index - block * side.block_size) * side.slot_stride;
}

/* Where unit `i` starts on both sides, from the bases; false for a pair that is skipped: padding, or
 * an index out of range, which is reported. */
template <class Args>
ACCEL_DEVICE bool unit_places(const Args& args, const accel_copy_kind& kind, accel_u32 i,
                              accel_i64* src, accel_i64* dst) {
  const accel_i64 from = listed_index(args, args.head.src, i), to = listed_index(args, args.head.dst, i);
  if (from < 0 || to < 0) return false;
  if (from >= args.head.src.bound || to >= args.head.dst.bound) {
    const bool first = from >= args.head.src.bound;
    const accel_copy_list& list = first ? args.head.src : args.head.dst;
    accel_report_fault(args.head.fault, args.head.fault_kind, list.argument, first ? from : to, list.bound, i);
    return false;
  }
  *src = unit_offset(kind.src, from);
  *dst = unit_offset(kind.dst, to);
  return true;
}

/* Adds the place of index `n` of the first `ndim` axes; returns what is left of it. */
ACCEL_DEVICE accel_u32 add_axes(const accel_copy_kind& kind, accel_u32 ndim, accel_u32 n,
                                accel_i64* src, accel_i64* dst) {
  for (accel_i32 d = static_cast<accel_i32>(ndim) - 1; d >= 0; --d) {
    const accel_u32 left = quotient(n, kind.size[d]), index = n - left * kind.size[d].by;
    *src += index * kind.src_stride[d];
    *dst += index * kind.dst_stride[d];
    n = left;
  }
  return n;
}

struct CopyBases {
  accel_u64 src, dst;
};

template <class Args>
ACCEL_DEVICE CopyBases bases_of(const Args& args, accel_u32 base) {
  const accel_u64* const table =
      args.head.table == 0 ? args.words : accel_pointer<const accel_u64>(args.head.table);
  return {table[2 * base], table[2 * base + 1]};
}

/* The kind that a tile of the launch belongs to; *tile becomes its number within the kind. */
template <class Args>
ACCEL_DEVICE const accel_copy_kind& kind_of(const Args& args, accel_u32* tile) {
  const bool second = args.head.kinds > 1 && *tile >= args.head.kind[1].first_tile;
  if (second) *tile -= args.head.kind[1].first_tile;
  return args.head.kind[second ? 1 : 0];
}

struct CopyPlace {
  accel_u32 base, tile;
};

/* A tile of a kind, as a base and a tile of that. */
ACCEL_DEVICE CopyPlace place_of(const accel_copy_kind& kind, accel_u32 tile) {
  const accel_u32 whole = quotient(tile, kind.split), rest = tile - whole * kind.split.by;
  return kind.bases_inner ? CopyPlace{kind.first_base + rest, whole}
                          : CopyPlace{kind.first_base + whole, rest};
}

template <class Args>
ACCEL_DEVICE accel_u32 units_of(const Args& args) {
  if (args.head.count == 0) return args.head.units;
  const accel_i64 count = *accel_pointer<const accel_i64>(args.head.count);
  if (count < 0) return 0;
  return count < args.head.units ? static_cast<accel_u32>(count) : args.head.units;
}

#endif
