/* Numbers as KV caches hold them: float16, bfloat16, fp8 and int8, to float32 and back.
 *
 * The rounding is part of the contract (accel.providers.KVConvert), so it is written once, for CPU,
 * CUDA/HIP, AscendC and BANG code. Plain C99, no headers, no library: runtime compilers include it
 * as it stands. Define ACCEL_NUMBER_FN before including it to add qualifiers (for instance
 * `static __device__ __forceinline__`). Compile it without -ffast-math, with the default rounding
 * mode. There are no branches, so that loops over these functions become vector code.
 *
 * Subnormal results come from float additions that round where it is wanted: a + m, where the last
 * place of m is the smallest step of the format, holds a in such steps in its low bits.
 */
#ifndef ACCEL_KV_NUMBER_H
#define ACCEL_KV_NUMBER_H

#ifndef ACCEL_NUMBER_FN
#define ACCEL_NUMBER_FN static inline
#endif

typedef unsigned char accel_u8;
typedef unsigned short accel_u16;
typedef unsigned int accel_u32;

ACCEL_NUMBER_FN accel_u32 accel_bits_of(float x) {
  union {
    float f;
    accel_u32 u;
  } pun;
  pun.f = x;
  return pun.u;
}

ACCEL_NUMBER_FN float accel_of_bits(accel_u32 bits) {
  union {
    accel_u32 u;
    float f;
  } pun;
  pun.u = bits;
  return pun.f;
}

/* --- to float32: exact ------------------------------------------------------------------------ */

ACCEL_NUMBER_FN float accel_from_bf16(accel_u16 h) { return accel_of_bits((accel_u32)h << 16); }

ACCEL_NUMBER_FN float accel_from_f16(accel_u16 h) {
  const accel_u32 sign = ((accel_u32)h & 0x8000u) << 16, rest = h & 0x7FFFu;
  const float least = accel_of_bits(0x38800000u); /* 2^-14 */
  const accel_u32 small = accel_bits_of(accel_of_bits(0x38800000u | rest << 13) - least);
  const accel_u32 usual = (rest << 13) + (112u << 23);
  const accel_u32 finite = rest < 0x400u ? small : usual;
  return accel_of_bits(sign | (rest >= 0x7C00u ? usual + (112u << 23) : finite));
}

ACCEL_NUMBER_FN float accel_from_e4m3(accel_u8 c) {
  const accel_u32 sign = ((accel_u32)c & 0x80u) << 24, rest = c & 0x7Fu;
  const float least = accel_of_bits(0x3C800000u); /* 2^-6 */
  const accel_u32 small = accel_bits_of(accel_of_bits(0x3C800000u | rest << 20) - least);
  const accel_u32 usual = (rest << 20) + (120u << 23);
  const accel_u32 finite = rest < 8u ? small : usual;
  return accel_of_bits(sign | (rest == 0x7Fu ? 0x7FC00000u : finite));
}

ACCEL_NUMBER_FN float accel_from_e5m2(accel_u8 c) {
  return accel_from_f16((accel_u16)((accel_u32)c << 8));
}

ACCEL_NUMBER_FN float accel_from_i8(accel_u8 c) { return (float)(signed char)c; }

/* --- from float32: to nearest, ties to even ---------------------------------------------------- */

/* What is too large becomes infinite; NaN stays NaN. */
ACCEL_NUMBER_FN accel_u16 accel_to_bf16(float x) {
  const accel_u32 u = accel_bits_of(x);
  const accel_u32 rounded = (u + 0x7FFFu + (u >> 16 & 1u)) >> 16;
  return (accel_u16)((u & 0x7FFFFFFFu) > 0x7F800000u ? (u >> 16 | 0x40u) : rounded);
}

ACCEL_NUMBER_FN accel_u16 accel_to_f16(float x) {
  const accel_u32 all = accel_bits_of(x), u = all & 0x7FFFFFFFu;
  const accel_u32 small = accel_bits_of(accel_of_bits(u) + 0.5f) - 0x3F000000u;
  const accel_u32 usual = (u + 0xFFFu + (u >> 13 & 1u) - (112u << 23)) >> 13;
  const accel_u32 finite = u < 0x38800000u ? small : usual;
  const accel_u32 large = u > 0x7F800000u ? 0x7E00u : 0x7C00u;
  return (accel_u16)((all >> 16 & 0x8000u) | (u >= 0x47800000u ? large : finite));
}

/* Saturating at 448, infinities too; NaN becomes 0x7F. */
ACCEL_NUMBER_FN accel_u8 accel_to_e4m3(float x) {
  const accel_u32 all = accel_bits_of(x), whole = all & 0x7FFFFFFFu;
  const accel_u32 u = whole < 0x43E00000u ? whole : 0x43E00000u;
  const accel_u32 small = accel_bits_of(accel_of_bits(u) + 16384.0f) - 0x46800000u;
  const accel_u32 usual = ((u + 0x7FFFFu + (u >> 20 & 1u)) >> 20) - 960u;
  const accel_u32 code = (all >> 24 & 0x80u) | (u < 0x3C800000u ? small : usual);
  return (accel_u8)(whole > 0x7F800000u ? 0x7Fu : code);
}

/* Saturating at 57344, infinities too; NaN becomes 0x7F. */
ACCEL_NUMBER_FN accel_u8 accel_to_e5m2(float x) {
  const accel_u32 all = accel_bits_of(x), whole = all & 0x7FFFFFFFu;
  const accel_u32 u = whole < 0x47600000u ? whole : 0x47600000u;
  const accel_u32 small = accel_bits_of(accel_of_bits(u) + 128.0f) - 0x43000000u;
  const accel_u32 usual = ((u + 0xFFFFFu + (u >> 21 & 1u)) >> 21) - 448u;
  const accel_u32 code = (all >> 24 & 0x80u) | (u < 0x38800000u ? small : usual);
  return (accel_u8)(whole > 0x7F800000u ? 0x7Fu : code);
}

/* The integer nearest to x + zero within lowest to highest, |bounds - zero| < 2^22; zero for NaN. */
ACCEL_NUMBER_FN int accel_to_code(float x, int zero, int lowest, int highest) {
  const float low = (float)(lowest - zero), high = (float)(highest - zero);
  const float above = x > low ? x : low; /* NaN: low, for now */
  const float inside = above < high ? above : high;
  const int nearest = (int)(accel_bits_of(inside + 12582912.0f) - 0x4B400000u);
  return x == x ? nearest + zero : zero;
}

/* Saturating at -128 and 127; NaN becomes 0. */
ACCEL_NUMBER_FN accel_u8 accel_to_i8(float x) {
  return (accel_u8)accel_to_code(x, 0, -128, 127);
}

#endif /* ACCEL_KV_NUMBER_H */
