// Elements of one kind as another: caches of another dtype, and new tokens as codes.
//
// Defines: ACCEL_FROM, ACCEL_TO, number kinds; ACCEL_VECTOR, bytes of what a thread takes at once, on
// the side that has more: elements that are contiguous on both sides, and aligned as a whole.
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
constexpr unsigned kThreads = 256;
constexpr unsigned kTaken = 4;  // chunks under way at once, of one thread

template <unsigned Bytes>
struct Loaded {
  accel_u32 word[(Bytes + 3) / 4];
};

template <unsigned Bytes>
ACCEL_DEVICE Loaded<Bytes> load(const char* from) {
  Loaded<Bytes> v;
  if constexpr (Bytes >= 4) {
    const accel_words<Bytes / 4> words = accel_load_words<Bytes / 4>(from);
    ACCEL_UNROLL for (unsigned i = 0; i < Bytes / 4; ++i) v.word[i] = words.word[i];
  } else {
    v.word[0] = accel_load((const accel_vector<Bytes>*)from);
  }
  return v;
}

template <unsigned Bytes>
ACCEL_DEVICE void store(char* to, const Loaded<Bytes>& v) {
  if constexpr (Bytes >= 4) {
    accel_words<Bytes / 4> words;
    ACCEL_UNROLL for (unsigned i = 0; i < Bytes / 4; ++i) words.word[i] = v.word[i];
    accel_store_words<Bytes / 4>(to, words);
  } else {
    accel_store((accel_vector<Bytes>*)to, (accel_vector<Bytes>)v.word[0]);
  }
}

constexpr unsigned kSpace = kChunk < 4 ? 4 : kChunk;  // floats: whole words of the narrowest kind

ACCEL_DEVICE void multiply(float* x, float scale) {
  ACCEL_UNROLL for (unsigned i = 0; i < kChunk; ++i) x[i] = x[i] * scale;
}

// Far quotients saturate whatever their last place is, and have no finite remainder.
ACCEL_DEVICE void divide(float* x, float scale) {
  if (accel_divides_fast(scale)) {
    const float reciprocal = 1.0f / scale;
    ACCEL_UNROLL for (unsigned i = 0; i < kChunk; ++i) {
      const float near = x[i] * reciprocal;
      const bool far = !(near < 0x1p20f && near > -0x1p20f);
      const float exact = accel_divide_by(x[i], scale, reciprocal);
      x[i] = far ? near : exact;
    }
  } else {
    ACCEL_UNROLL for (unsigned i = 0; i < kChunk; ++i) x[i] = x[i] / scale;
  }
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

}  // namespace

// Grid: kThreads * kTaken chunks of all units, layers and planes.
ACCEL_KERNEL_BOUNDS(256, 4, convert_elements, accel_convert_args, args) {
  const accel_u32 layer = accel_block_y() / args.planes;
  const accel_convert_plane& plane = args.plane[accel_block_y() - layer * args.planes];
  const accel_u64* const bases =
      args.bases != 0 ? accel_pointer<const accel_u64>(args.bases) + 2 * (layer * args.bases_each)
                      : args.base;
  const char* const src_base = accel_pointer<const char>(bases[2 * plane.base]);
  char* const dst_base = accel_pointer<char>(bases[2 * plane.base + 1]);

  Loaded<kChunk * kFromSize> held[kTaken] = {};
  char* to[kTaken];
  float by[kTaken], over[kTaken];
  const accel_u32 first = accel_block_x() * (kThreads * kTaken) + accel_thread();
  ACCEL_UNROLL for (unsigned k = 0; k < kTaken; ++k) {
    const accel_u32 n = first + k * kThreads;
    const accel_u32 i = accel_divide(n, plane.items);
    to[k] = nullptr;
    by[k] = over[k] = 1.0f;
    accel_i64 src_unit, dst_unit;
    if (i >= args.units || !find_units(args, i, &src_unit, &dst_unit)) continue;
    accel_i64 src = unit_offset(plane.src, src_unit), dst = unit_offset(plane.dst, dst_unit);
    accel_i64 src_head = 0, dst_head = 0;
    accel_u32 rest = n - i * plane.items.by;
    accel_u32 outer = accel_divide(rest, plane.chunks);
    const accel_u32 chunk = rest - outer * plane.chunks.by;
    rest = outer;
    for (int d = (int)plane.dims - 1; d >= 0; --d) {
      const accel_convert_dim& dim = plane.dim[d];
      outer = d == 0 ? 0 : accel_divide(rest, dim.size);
      const accel_i64 index = rest - outer * dim.size.by;
      src += index * dim.src;
      dst += index * dim.dst;
      if constexpr (kMultiplies) src_head += index * dim.src_head;
      if constexpr (kDivides) dst_head += index * dim.dst_head;
      rest = outer;
    }
    held[k] = load<kChunk * kFromSize>(src_base + src + (accel_i64)chunk * (kChunk * kFromSize));
    to[k] = dst_base + dst + (accel_i64)chunk * (kChunk * kToSize);
    if constexpr (kMultiplies) by[k] = scale_at(plane.src_scale, layer, src_unit, src_head);
    if constexpr (kDivides) over[k] = scale_at(plane.dst_scale, layer, src_unit, dst_head);
  }
  ACCEL_UNROLL for (unsigned k = 0; k < kTaken; ++k) {
    if (to[k] == nullptr) continue;
    float x[kSpace] = {};
    constexpr unsigned kOfWord = accel_number<kFrom>::per_word;
    float unpacked[kSpace < kOfWord ? kOfWord : kSpace];
    ACCEL_UNROLL for (unsigned w = 0; w < (kChunk * kFromSize + 3) / 4; ++w) {
      accel_unpack<kFrom>(held[k].word[w], unpacked + w * kOfWord);
    }
    ACCEL_UNROLL for (unsigned i = 0; i < kChunk; ++i) x[i] = unpacked[i];
    if constexpr (kMultiplies) multiply(x, by[k]);
    if constexpr (kDivides) divide(x, over[k]);
    Loaded<kChunk * kToSize> made;
    ACCEL_UNROLL for (unsigned w = 0; w < (kChunk * kToSize + 3) / 4; ++w) {
      made.word[w] = accel_pack<kTo>(x + w * accel_number<kTo>::per_word);
    }
    store<kChunk * kToSize>(to[k], made);
  }
}
