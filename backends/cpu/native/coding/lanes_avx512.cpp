// The coder's loops for AVX-512 (F, BW, DQ, VL).
#include "lanes.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include <accel/kv_codec.h>

// To the end of the file: what follows includes no header of others.
#ifdef __clang__
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,bmi,popcnt,prefer-vector-width=512")
#endif

namespace accel_cpu::coding {
namespace {

#include "lane_vectors.hpp"
#include "lane_coder.hpp"
#include "lane_scans.hpp"

struct Avx512Ops : PortableOps {
  typedef __mmask32 Mask;

  static ACCEL_INLINE void at_least(const U16x32& a, const U16x32& b, Mask& result) {
    result = _mm512_cmpge_epi16_mask((__m512i)a, (__m512i)b);
  }
  static ACCEL_INLINE void select(const Mask& mask, const U16x32& yes, const U16x32& no,
                                  U16x32& result) {
    result = (U16x32)_mm512_mask_blend_epi16(mask, (__m512i)no, (__m512i)yes);
  }
  static ACCEL_INLINE void add_if(const Mask& mask, std::uint16_t value, U16x32& sum) {
    sum = (U16x32)_mm512_mask_add_epi16((__m512i)sum, mask, (__m512i)sum,
                                        _mm512_set1_epi16(static_cast<short>(value)));
  }
  static ACCEL_INLINE void narrow(const U32x16 (&wide)[2], U16x32& result) {
    const __m256i low = _mm512_cvtepi32_epi16((__m512i)wide[0]);
    const __m256i high = _mm512_cvtepi32_epi16((__m512i)wide[1]);
    result = (U16x32)_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
  static ACCEL_INLINE void widen(const U16x32& from, U32x16 (&wide)[2]) {
    wide[0] = (U32x16)_mm512_cvtepu16_epi32(_mm512_castsi512_si256((__m512i)from));
    wide[1] = (U32x16)_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64((__m512i)from, 1));
  }
  static ACCEL_INLINE void store_symbols(const U16x32& symbols, std::uint8_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_cvtepi16_epi8((__m512i)symbols));
  }
  static ACCEL_INLINE unsigned count_at_most(const std::uint16_t* values, std::uint16_t slot) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
    return static_cast<unsigned>(__builtin_popcount(
        _mm256_cmple_epi16_mask(v, _mm256_set1_epi16(static_cast<short>(slot)))));
  }

  static ACCEL_INLINE void to_float(const U32x16& x, F32x16& result) {
    result = (F32x16)_mm512_cvtepu32_ps((__m512i)x);
  }
  static ACCEL_INLINE void load_symbols(const std::uint8_t* from, std::uint8_t most,
                                        U32x16 (&symbols)[2]) {
    for (int h = 0; h < 2; ++h) {
      symbols[h] = (U32x16)_mm512_cvtepu8_epi32(
          _mm_min_epu8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + h),
                       _mm_set1_epi8(static_cast<char>(most))));
    }
  }
  static ACCEL_INLINE void look_up(const std::uint16_t* model, const U32x16& index, U32x16& pair) {
    pair = (U32x16)_mm512_i32gather_epi32((__m512i)index, model, 2);
  }
  static ACCEL_INLINE std::uint16_t* give(std::uint16_t* to, U32x16& x, const U32x16& frequency) {
    const __m512i v = (__m512i)x;
    const __mmask16 full = _mm512_cmpge_epu32_mask(
        _mm512_srli_epi32(v, 32 - ACCEL_CODEC_SCALE_BITS), (__m512i)frequency);
    const auto given = static_cast<unsigned>(__builtin_popcount(full));
    to -= given;
    _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << given) - 1),
                             _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, v)));
    x = (U32x16)_mm512_mask_srli_epi32(v, full, v, 16);
    return to;
  }
  static ACCEL_INLINE const std::uint8_t* take(const std::uint8_t* from, U32x16& x) {
    const __m512i v = (__m512i)x;
    const __mmask16 low =
        _mm512_cmplt_epu32_mask(v, _mm512_set1_epi32(ACCEL_CODEC_STATE_LOW));
    const __m512i words =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    const __m512i mine = _mm512_maskz_expand_epi32(low, words);
    x = (U32x16)_mm512_or_si512(_mm512_mask_slli_epi32(v, low, v, 16), mine);
    return from + __builtin_popcount(low) * 2;
  }
};

constexpr LaneKernels kKernels = {
    "avx512",
    Encoder<Avx512Ops>::run,
    Decoder<Avx512Ops>::run,
    check_units<std::uint32_t>,
    check_units<std::uint16_t>,
    count_symbols<16>,
    largest_symbol,
};

}  // namespace

const LaneKernels* avx512_kernels() {
  static const bool there =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt");
  return there ? &kKernels : nullptr;
}

}  // namespace accel_cpu::coding

#ifdef __clang__
#pragma clang attribute pop
#endif

#else

namespace accel_cpu::coding {
const LaneKernels* avx512_kernels() { return nullptr; }
}  // namespace accel_cpu::coding

#endif
