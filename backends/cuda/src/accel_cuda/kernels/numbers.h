/* Vectors of numbers to float32 and back: accel/kv_number.h, by the chip's own instructions where it
 * has them (they give the same bits, but for the payload of NaN). */
#ifndef ACCEL_CUDA_NUMBERS_H
#define ACCEL_CUDA_NUMBERS_H

#include "device.h"

#include <accel/kv_number.h>

#include "number_kinds.h"

#if defined(__CUDA_ARCH__) && !defined(ACCEL_HOST_SHIM)
#define ACCEL_PTX(arch) (__CUDA_ARCH__ >= (arch))
#else
#define ACCEL_PTX(arch) 0
#endif

template <int Kind>
struct accel_number {
  static constexpr unsigned size = Kind == ACCEL_F32 ? 4 : Kind == ACCEL_F16 || Kind == ACCEL_BF16 ? 2 : 1;
  static constexpr unsigned per_word = 4 / size;
};

/* The elements of one 32-bit word as floats, the lowest address first. */
template <int Kind>
ACCEL_DEVICE void accel_unpack(accel_u32 word, float* x) {
  if constexpr (Kind == ACCEL_F32) {
    x[0] = accel_of_bits(word);
  } else if constexpr (Kind == ACCEL_BF16) {
    x[0] = accel_of_bits(word << 16);
    x[1] = accel_of_bits(word & 0xffff0000u);
  } else if constexpr (Kind == ACCEL_F16) {
#if ACCEL_PTX(530)
    asm("{.reg .b16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h;}"
        : "=f"(x[0]), "=f"(x[1]) : "r"(word));
#else
    x[0] = accel_from_f16((accel_u16)word);
    x[1] = accel_from_f16((accel_u16)(word >> 16));
#endif
  } else if constexpr (Kind == ACCEL_E4M3 || Kind == ACCEL_E5M2) {
#if ACCEL_PTX(890)
    accel_u32 low, high;
    if constexpr (Kind == ACCEL_E4M3) {
      asm("{.reg .b16 l, h; mov.b32 {l, h}, %2; cvt.rn.f16x2.e4m3x2 %0, l; cvt.rn.f16x2.e4m3x2 %1, h;}"
          : "=r"(low), "=r"(high) : "r"(word));
    } else {
      asm("{.reg .b16 l, h; mov.b32 {l, h}, %2; cvt.rn.f16x2.e5m2x2 %0, l; cvt.rn.f16x2.e5m2x2 %1, h;}"
          : "=r"(low), "=r"(high) : "r"(word));
    }
    accel_unpack<ACCEL_F16>(low, x);
    accel_unpack<ACCEL_F16>(high, x + 2);
#else
    ACCEL_UNROLL for (int i = 0; i < 4; ++i) {
      const accel_u8 code = (accel_u8)(word >> 8 * i);
      x[i] = Kind == ACCEL_E4M3 ? accel_from_e4m3(code) : accel_from_e5m2(code);
    }
#endif
  } else {
    /* A byte below the exponent of 2^23 is that many more than 2^23. */
    const accel_u32 biased = word ^ (Kind == ACCEL_I8 ? 0x80808080u : 0u);
    const float base = Kind == ACCEL_I8 ? 8388736.0f : 8388608.0f;
    x[0] = accel_of_bits(accel_byte_permute(biased, 0x4B000000u, 0x7650)) - base;
    x[1] = accel_of_bits(accel_byte_permute(biased, 0x4B000000u, 0x7651)) - base;
    x[2] = accel_of_bits(accel_byte_permute(biased, 0x4B000000u, 0x7652)) - base;
    x[3] = accel_of_bits(accel_byte_permute(biased, 0x4B000000u, 0x7653)) - base;
  }
}

/* And back, rounded to nearest even; fp8 and int8 saturate. */
template <int Kind>
ACCEL_DEVICE accel_u32 accel_pack(const float* x) {
  if constexpr (Kind == ACCEL_F32) {
    return accel_bits_of(x[0]);
  } else if constexpr (Kind == ACCEL_BF16 || Kind == ACCEL_F16) {
#if ACCEL_PTX(800)
    accel_u32 word;
    if constexpr (Kind == ACCEL_BF16) {
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(x[1]), "f"(x[0]));
    } else {
      asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(x[1]), "f"(x[0]));
    }
    return word;
#else
    const accel_u32 low = Kind == ACCEL_BF16 ? accel_to_bf16(x[0]) : accel_to_f16(x[0]);
    const accel_u32 high = Kind == ACCEL_BF16 ? accel_to_bf16(x[1]) : accel_to_f16(x[1]);
    return low | high << 16;
#endif
  } else if constexpr (Kind == ACCEL_E4M3 || Kind == ACCEL_E5M2) {
#if ACCEL_PTX(890)
    accel_u32 word;
    if constexpr (Kind == ACCEL_E4M3) {
      asm("{.reg .b16 l, h; cvt.rn.satfinite.e4m3x2.f32 l, %2, %1; "
          "cvt.rn.satfinite.e4m3x2.f32 h, %4, %3; mov.b32 %0, {l, h};}"
          : "=r"(word) : "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3]));
    } else {
      asm("{.reg .b16 l, h; cvt.rn.satfinite.e5m2x2.f32 l, %2, %1; "
          "cvt.rn.satfinite.e5m2x2.f32 h, %4, %3; mov.b32 %0, {l, h};}"
          : "=r"(word) : "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3]));
    }
    return word;
#else
    accel_u32 word = 0;
    ACCEL_UNROLL for (int i = 0; i < 4; ++i) {
      word |= (accel_u32)(Kind == ACCEL_E4M3 ? accel_to_e4m3(x[i]) : accel_to_e5m2(x[i])) << 8 * i;
    }
    return word;
#endif
  } else {
    static_assert(Kind == ACCEL_I8, "values and codes only");
    accel_u32 word = 0;
    ACCEL_UNROLL for (int i = 0; i < 4; ++i) word |= (accel_u32)accel_to_i8(x[i]) << 8 * i;
    return word;
  }
}

/* One element. */
template <int Kind>
ACCEL_DEVICE float accel_read(const void* from) {
  if constexpr (Kind == ACCEL_F32) return *(const float*)from;
  if constexpr (Kind == ACCEL_F16) return accel_from_f16(*(const accel_u16*)from);
  if constexpr (Kind == ACCEL_BF16) return accel_from_bf16(*(const accel_u16*)from);
  if constexpr (Kind == ACCEL_E4M3) return accel_from_e4m3(*(const accel_u8*)from);
  if constexpr (Kind == ACCEL_E5M2) return accel_from_e5m2(*(const accel_u8*)from);
  if constexpr (Kind == ACCEL_I8) return accel_from_i8(*(const accel_u8*)from);
  return (float)*(const accel_u8*)from;
}

template <int Kind>
ACCEL_DEVICE void accel_write(float x, void* to) {
  if constexpr (Kind == ACCEL_F32) *(float*)to = x;
  if constexpr (Kind == ACCEL_F16) *(accel_u16*)to = accel_to_f16(x);
  if constexpr (Kind == ACCEL_BF16) *(accel_u16*)to = accel_to_bf16(x);
  if constexpr (Kind == ACCEL_E4M3) *(accel_u8*)to = accel_to_e4m3(x);
  if constexpr (Kind == ACCEL_E5M2) *(accel_u8*)to = accel_to_e5m2(x);
  if constexpr (Kind == ACCEL_I8) *(accel_u8*)to = accel_to_i8(x);
}

/* Up to 16 bytes as words in registers. The address is a multiple of the width. */
template <unsigned Words>
struct accel_words {
  accel_u32 word[Words];
};

template <unsigned Words>
ACCEL_DEVICE accel_words<Words> accel_load_words(const void* from) {
  accel_words<Words> v;
  if constexpr (Words == 4) {
    const accel_u32x4 x = accel_load((const accel_u32x4*)from);
    v.word[0] = x.x, v.word[1] = x.y, v.word[2] = x.z, v.word[3] = x.w;
  } else if constexpr (Words == 2) {
    const accel_u32x2 x = accel_load((const accel_u32x2*)from);
    v.word[0] = x.x, v.word[1] = x.y;
  } else {
    static_assert(Words == 1, "4, 8 or 16 bytes");
    v.word[0] = accel_load((const accel_u32*)from);
  }
  return v;
}

template <unsigned Words>
ACCEL_DEVICE void accel_store_words(void* to, const accel_words<Words>& v) {
  if constexpr (Words == 4) {
    accel_store((accel_u32x4*)to, accel_u32x4{v.word[0], v.word[1], v.word[2], v.word[3]});
  } else if constexpr (Words == 2) {
    accel_store((accel_u32x2*)to, accel_u32x2{v.word[0], v.word[1]});
  } else {
    static_assert(Words == 1, "4, 8 or 16 bytes");
    accel_store((accel_u32*)to, v.word[0]);
  }
}

#endif
