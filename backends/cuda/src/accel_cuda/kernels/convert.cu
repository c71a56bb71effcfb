// Elements of one kind as another: caches of another dtype, and new tokens as codes.
//
// Defines: ACCEL_FROM, ACCEL_TO, number kinds; ACCEL_VECTOR, bytes of what a thread takes at once, on
// the side that has more: elements that are contiguous on both sides, and aligned as a whole.
//
// A block first looks up where the rows of its tile lie and what their scales are, one thread for
// each, and keeps that in shared memory; the chunks that follow need no index and no axis, and are
// all under way at once.
#include "convert_args.h"
#include "fault.h"
#include "numbers.h"
#include "quotient.h"

#ifndef ACCEL_FROM
#define ACCEL_FROM ACCEL_BF16
#endif
#ifndef ACCEL_TO
#define ACCEL_TO ACCEL_E4M3
#endif
#ifndef ACCEL_VECTOR
#define ACCEL_VECTOR 16
#endif

namespace {

constexpr int kFrom = ACCEL_FROM, kTo = ACCEL_TO;
constexpr unsigned kFromSize = accel_number<kFrom>::size, kToSize = accel_number<kTo>::size;
constexpr unsigned kChunk = ACCEL_VECTOR / (kFromSize > kToSize ? kFromSize : kToSize);
static_assert(kChunk >= 1, "at least one element");
constexpr bool kMultiplies = kFrom == ACCEL_I8 || kFrom == ACCEL_E4M3 || kFrom == ACCEL_E5M2;
constexpr bool kDivides = kTo == ACCEL_I8 || kTo == ACCEL_E4M3 || kTo == ACCEL_E5M2;
constexpr unsigned kThreads = ACCEL_CONVERT_THREADS, kTaken = ACCEL_CONVERT_TAKEN(ACCEL_VECTOR);
constexpr unsigned kTile = kThreads * kTaken;
// Blocks that shall fit a multiprocessor, without spilling. Turing has room for eight.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr unsigned kResident = 8;
#else
constexpr unsigned kResident = kDivides || ACCEL_VECTOR > 16 ? 8 : 12;
#endif

template <unsigned Bytes>
struct Loaded {
  accel_u32 word[(Bytes + 3) / 4];
};

template <unsigned Bytes>
ACCEL_DEVICE Loaded<Bytes> load(accel_u64 from) {
  Loaded<Bytes> v;
  if constexpr (Bytes >= 4) {
    constexpr unsigned kWords = Bytes < 16 ? Bytes / 4 : 4;
    ACCEL_UNROLL for (unsigned i = 0; i < Bytes / 4; i += kWords) {
      const accel_words<kWords> words = accel_load_words<kWords>(accel_pointer<char>(from + 4 * i));
      ACCEL_UNROLL for (unsigned k = 0; k < kWords; ++k) v.word[i + k] = words.word[k];
    }
  } else {
    v.word[0] = accel_load(accel_pointer<const accel_vector<Bytes>>(from));
  }
  return v;
}

template <unsigned Bytes>
ACCEL_DEVICE void store(accel_u64 to, const Loaded<Bytes>& v) {
  if constexpr (Bytes >= 4) {
    constexpr unsigned kWords = Bytes < 16 ? Bytes / 4 : 4;
    ACCEL_UNROLL for (unsigned i = 0; i < Bytes / 4; i += kWords) {
      accel_words<kWords> words;
      ACCEL_UNROLL for (unsigned k = 0; k < kWords; ++k) words.word[k] = v.word[i + k];
      accel_store_words<kWords>(accel_pointer<char>(to + 4 * i), words);
    }
  } else {
    accel_store(accel_pointer<accel_vector<Bytes>>(to), (accel_vector<Bytes>)v.word[0]);
  }
}

// A scale to divide by, and two numbers that its reciprocal lies between, with a place to spare for
// the rounding of the quotient; of a power of two it is exact. Rounding keeps order: where both ends
// give one code, so does the quotient.
struct Divisor {
  float scale, low, high;
};

ACCEL_DEVICE Divisor divisor_of(float scale) {
  const bool usual = scale >= 0x1p-100f && scale <= 0x1p100f;
  const accel_u32 near = accel_bits_of(1.0f / scale);
  const accel_u32 off = (accel_bits_of(scale) & 0x7FFFFFu) == 0 ? 0u : 2u;
  const float nan = accel_of_bits(0x7FC00000u);
  return {scale, usual ? accel_of_bits(near - off) : nan, usual ? accel_of_bits(near + off) : 0.0f};
}

ACCEL_DEVICE accel_u32 four_bytes(float a, float b, float c, float d) {
  const accel_u32 low = accel_byte_permute(accel_bits_of(a), accel_bits_of(b), 0x0040);
  const accel_u32 high = accel_byte_permute(accel_bits_of(c), accel_bits_of(d), 0x0040);
  return accel_byte_permute(low, high, 0x5410);
}

// Four quotients as codes; false if that must be found out by division.
ACCEL_DEVICE bool quotient_codes(const float* x, const Divisor& by, accel_u32* codes) {
  float low[4], high[4];
  bool sure = by.low <= by.high;
  if constexpr (kTo == ACCEL_I8) {
    ACCEL_UNROLL for (unsigned i = 0; i < 4; ++i) {
      low[i] = accel_fma(x[i], by.low, 12582912.0f);
      high[i] = accel_fma(x[i], by.high, 12582912.0f);
      sure = sure && low[i] == high[i];  // and no NaN
      low[i] = accel_min(accel_max(low[i], 12582912.0f - 128.0f), 12582912.0f + 127.0f);
    }
    *codes = four_bytes(low[0], low[1], low[2], low[3]);
    return sure;
  } else {
#if ACCEL_PTX(890)
    ACCEL_UNROLL for (unsigned i = 0; i < 4; ++i) {
      low[i] = x[i] * by.low;
      high[i] = x[i] * by.high;
    }
    *codes = accel_pack<kTo>(low);
    return sure && *codes == accel_pack<kTo>(high);
#else
    if (!accel_divides_fast(by.scale)) return false;
    const float reciprocal = 1.0f / by.scale;
    ACCEL_UNROLL for (unsigned i = 0; i < 4; ++i) {
      // Far quotients saturate whatever their last place is, and have no finite remainder.
      const float near = x[i] * reciprocal;
      const bool far = !(near < 0x1p20f && near > -0x1p20f);
      low[i] = far ? near : accel_divide_by(x[i], by.scale, reciprocal);
    }
    *codes = accel_pack<kTo>(low);
    return true;
#endif
  }
}

// A run on both sides, whose `dst` is 0 where it is skipped, and its scales.
struct alignas(16) Row {
  accel_u64 src, dst;
  float by;
  Divisor over;
};

constexpr unsigned kSpace = kChunk < 4 ? 4 : kChunk;  // floats: whole words of the narrowest kind

ACCEL_DEVICE Loaded<kChunk * kToSize> convert(const Loaded<kChunk * kFromSize>& from,
                                              const Row& row) {
  constexpr unsigned kOfWord = accel_number<kFrom>::per_word, kMade = accel_number<kTo>::per_word;
  float x[kSpace < kOfWord ? kOfWord : kSpace] = {};
  ACCEL_UNROLL for (unsigned w = 0; w < (kChunk * kFromSize + 3) / 4; ++w) {
    accel_unpack<kFrom>(from.word[w], x + w * kOfWord);
  }
  if constexpr (kMultiplies) {
    ACCEL_UNROLL for (unsigned i = 0; i < kSpace; ++i) x[i] = x[i] * row.by;
  }
  Loaded<kChunk * kToSize> made;
  bool sure = true;
  ACCEL_UNROLL for (unsigned w = 0; w < (kChunk * kToSize + 3) / 4; ++w) {
    if constexpr (kDivides) {
      if (!quotient_codes(x + w * kMade, row.over, &made.word[w])) sure = false;
    } else {
      made.word[w] = accel_pack<kTo>(x + w * kMade);
    }
  }
  if constexpr (kDivides) {
    if (!sure) {
      ACCEL_UNROLL for (unsigned i = 0; i < kSpace; ++i) x[i] = x[i] / row.over.scale;
      ACCEL_UNROLL for (unsigned w = 0; w < (kChunk * kToSize + 3) / 4; ++w) {
        made.word[w] = accel_pack<kTo>(x + w * kMade);
      }
    }
  }
  return made;
}

ACCEL_DEVICE accel_i64 unit_offset(const accel_convert_paging& paging, accel_i64 unit) {
  if (paging.block.by == 1) return unit * paging.block_stride;
  accel_i64 block = unit / paging.block.by;
  if (unit < 0x7fffffff) block = accel_divide((accel_u32)unit, paging.block);
  return block * paging.block_stride + (unit - block * paging.block.by) * paging.slot_stride;
}

ACCEL_DEVICE float scale_at(const accel_convert_scale& scale, accel_i64 layer, accel_i64 unit,
                            accel_i64 head) {
  if (scale.data == 0) return scale.number;
  const accel_i64 at =
      layer * scale.layer_step + unit * scale.unit_step + head * scale.head_step;
  return accel_pointer<const float>(scale.data)[at];
}

// Source and destination of unit `i` of the launch; false for padding and for what is reported.
ACCEL_DEVICE bool find_units(const accel_convert_args& args, accel_u32 i, accel_i64* src,
                             accel_i64* dst) {
  *src = *dst = args.first + i;
  if (args.form == ACCEL_CONVERT_COUNTED) return true;
  if (args.form == ACCEL_CONVERT_PAIRS) {
    const accel_convert_pair& pair =
        args.list != 0 ? accel_pointer<const accel_convert_pair>(args.list)[i] : args.here[i];
    *src = pair.src;
    *dst = pair.dst;
    return true;
  }
  const accel_i64 at = i * args.slot_step;
  *dst = args.wide ? accel_pointer<const accel_i64>(args.list)[at]
                   : accel_pointer<const accel_i32>(args.list)[at];
  if (*dst >= args.slots) {
    accel_report_fault(args.fault, ACCEL_FAULT_SLOT, ACCEL_FAULT_ARG_SLOTS, *dst, args.slots, i);
    return false;
  }
  return *dst >= 0;
}

ACCEL_DEVICE const accel_u64* plane_bases(const accel_convert_args& args,
                                          const accel_convert_plane& plane, accel_u32 layer) {
  const accel_u64* const bases =
      args.bases != 0 ? accel_pointer<const accel_u64>(args.bases) + 2 * (layer * args.bases_each)
                      : args.base;
  return bases + 2 * plane.base;
}

// Row `n` of the launch's.
ACCEL_DEVICE Row find_row(const accel_convert_args& args, const accel_convert_plane& plane,
                          accel_u32 layer, accel_u32 n) {
  const accel_u64* const bases = plane_bases(args, plane, layer);
  Row row = {0, 0, 1.0f, {}};
  const accel_u32 i = accel_divide(n, plane.runs);
  accel_i64 src_unit, dst_unit;
  if (!find_units(args, i, &src_unit, &dst_unit)) return row;
  accel_i64 src = unit_offset(plane.src, src_unit), dst = unit_offset(plane.dst, dst_unit);
  accel_i64 src_head = 0, dst_head = 0;
  accel_u32 rest = n - i * plane.runs.by;
  for (int d = (int)plane.dims - 1; d >= 0; --d) {
    const accel_convert_dim& dim = plane.dim[d];
    const accel_u32 outer = d == 0 ? 0 : accel_divide(rest, dim.size);
    const accel_i64 index = rest - outer * dim.size.by;
    src += index * dim.src;
    dst += index * dim.dst;
    if constexpr (kMultiplies) src_head += index * dim.src_head;
    if constexpr (kDivides) dst_head += index * dim.dst_head;
    rest = outer;
  }
  row.src = bases[0] + (accel_u64)src;
  row.dst = bases[1] + (accel_u64)dst;
  if constexpr (kMultiplies) row.by = scale_at(plane.src_scale, layer, src_unit, src_head);
  if constexpr (kDivides) {
    row.over = divisor_of(scale_at(plane.dst_scale, layer, src_unit, dst_head));
  }
  return row;
}

}  // namespace

// Grid: tiles of all units' chunks; layers and planes.
ACCEL_KERNEL_BOUNDS(ACCEL_CONVERT_THREADS, kResident, convert_elements, accel_convert_args,
                    args) {
  ACCEL_SHARED Row rows[kTile];
  const accel_u32 layer = accel_block_y() / args.planes;
  const accel_convert_plane& plane = args.plane[accel_block_y() - layer * args.planes];
  const accel_u32 begin = accel_block_x() * kTile;
  const accel_u32 total = args.units * plane.runs.by * plane.chunks.by;
  if (begin >= total) return;
  const accel_u32 end = accel_min(begin + kTile, total);
  const accel_u32 first = accel_divide(begin, plane.chunks);
  const accel_u32 count = accel_divide(end - 1, plane.chunks) - first + 1;
  for (accel_u32 r = accel_thread(); r < count; r += kThreads) {
    rows[r] = find_row(args, plane, layer, first + r);
  }
  accel_sync_threads();
  // Loads without a condition, so that none waits for another: skipped ones read the plane's start.
  const accel_u64 start = plane_bases(args, plane, layer)[0];
  Loaded<kChunk * kFromSize> held[kTaken];
  accel_u32 which[kTaken], chunk[kTaken];
  ACCEL_UNROLL for (unsigned k = 0; k < kTaken; ++k) {
    const accel_u32 at = begin + k * kThreads + accel_thread(), n = accel_min(at, end - 1);
    const accel_u32 row = accel_divide(n, plane.chunks);
    which[k] = row - first;
    chunk[k] = n - row * plane.chunks.by;
    accel_u64 from = rows[which[k]].src + (accel_u64)chunk[k] * (kChunk * kFromSize);
    if (at >= end || rows[which[k]].dst == 0) {
      which[k] = ~0u;
      from = start;
    }
    held[k] = load<kChunk * kFromSize>(from);
  }
  ACCEL_UNROLL for (unsigned k = 0; k < kTaken; ++k) {
    if (which[k] == ~0u) continue;
    const Row& row = rows[which[k]];
    const accel_u64 to = row.dst + (accel_u64)chunk[k] * (kChunk * kToSize);
    store<kChunk * kToSize>(to, convert(held[k], row));
  }
}
