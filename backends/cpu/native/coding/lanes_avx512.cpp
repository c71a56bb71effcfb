// The coder's loops for AVX-512 (F, BW, DQ, VL, BITALG: Ice Lake, Zen 4 and later).
#include "lanes.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include <accel/kv_codec.h>

// To the end of the file: what follows includes no header of others.
#ifdef __clang__
#pragma clang attribute push(                                                                \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bitalg,bmi,popcnt"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bitalg")
#pragma GCC target("bmi,popcnt,prefer-vector-width=512")
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC's own intrinsics
#endif

namespace accel_cpu::coding {
namespace {

constexpr int kVectorBytes = 64;
#include "lane_vectors.hpp"
#include "lane_coder.hpp"
#include "lane_scans.hpp"
#include "lane_model.hpp"
#include "lane_planes.hpp"

struct Avx512Ops : PortableOps {
  typedef __mmask32 Mask;

  static ACCEL_INLINE __m512i raw(const U16x32& v) { return (__m512i)v.part[0]; }
  static ACCEL_INLINE __m512i raw(const U32x16& v) { return (__m512i)v.part[0]; }
  static ACCEL_INLINE U16x32 words(__m512i v) { return {{(U16x32::Part)v}}; }
  static ACCEL_INLINE U32x16 dwords(__m512i v) { return {{(U32x16::Part)v}}; }

  static ACCEL_INLINE Mask at_least(const U16x32& a, const U16x32& b) {
    return _mm512_cmpge_epi16_mask(raw(a), raw(b));
  }
  static ACCEL_INLINE U16x32 select(Mask mask, const U16x32& yes, const U16x32& no) {
    return words(_mm512_mask_blend_epi16(mask, raw(no), raw(yes)));
  }
  static ACCEL_INLINE U16x32 add_if(Mask mask, std::uint16_t value, const U16x32& sum) {
    return words(_mm512_mask_add_epi16(raw(sum), mask, raw(sum),
                                       _mm512_set1_epi16(static_cast<short>(value))));
  }
  static ACCEL_INLINE U16x32 narrow(const U32x16 (&wide)[2]) {
    const __m256i low = _mm512_cvtepi32_epi16(raw(wide[0]));
    const __m256i high = _mm512_cvtepi32_epi16(raw(wide[1]));
    return words(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
  }
  static ACCEL_INLINE void widen(const U16x32& from, U32x16 (&wide)[2]) {
    wide[0] = dwords(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(raw(from))));
    wide[1] = dwords(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(raw(from), 1)));
  }
  static ACCEL_INLINE void store_symbols(const U16x32& symbols, std::uint8_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi16_epi8(raw(symbols)));
  }
  static ACCEL_INLINE unsigned count_at_most(const std::uint16_t* values, std::uint16_t slot) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
    return static_cast<unsigned>(__builtin_popcount(
        _mm256_cmple_epi16_mask(v, _mm256_set1_epi16(static_cast<short>(slot)))));
  }

  static ACCEL_INLINE U32x16 divide(const U32x16& x, const U32x16& y) {
    const __m512 inverse = _mm512_div_ps(_mm512_set1_ps(kBelowOne), _mm512_cvtepi32_ps(raw(y)));
    return dwords(_mm512_cvttps_epi32(_mm512_mul_ps(_mm512_cvtepu32_ps(raw(x)), inverse)));
  }
  static ACCEL_INLINE void load_symbols(const std::uint8_t* from, std::uint8_t most,
                                        U32x16 (&symbols)[2]) {
    for (int h = 0; h < 2; ++h) {
      symbols[h] = dwords(_mm512_cvtepu8_epi32(
          _mm_min_epu8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + h),
                       _mm_set1_epi8(static_cast<char>(most)))));
    }
  }
  static ACCEL_INLINE U32x16 look_up(const std::uint16_t* model, const U32x16& index) {
    // Two of 8 take less time than one of 16.
    const int* base = reinterpret_cast<const int*>(model);
    const __m256i low = _mm256_i32gather_epi32(base, _mm512_castsi512_si256(raw(index)), 2);
    const __m256i high =
        _mm256_i32gather_epi32(base, _mm512_extracti64x4_epi64(raw(index), 1), 2);
    return dwords(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
  }
  static ACCEL_INLINE std::uint16_t* give(std::uint16_t* to, U32x16& x, const U32x16& frequency) {
    const __m512i v = raw(x);
    const __mmask16 full =
        _mm512_cmpge_epu32_mask(_mm512_srli_epi32(v, 32 - kScaleBits), raw(frequency));
    const auto given = static_cast<unsigned>(__builtin_popcount(full));
    // Rotated to the end of the vector, what lies before them is overwritten later: a masked store
    // would take longer.
    const __m512i first = _mm512_maskz_compress_epi32(full, v);
    const __m512i turn = _mm512_add_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_set1_epi32(static_cast<int>(given)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to - 16),
                        _mm512_cvtepi32_epi16(_mm512_permutexvar_epi32(turn, first)));
    to -= given;
    x = dwords(_mm512_mask_srli_epi32(v, full, v, 16));
    return to;
  }
  static ACCEL_INLINE const std::uint8_t* take(const std::uint8_t* from, U32x16& x) {
    const __m512i v = raw(x);
    const __mmask16 low = _mm512_cmplt_epu32_mask(v, _mm512_set1_epi32(ACCEL_CODEC_STATE_LOW));
    const __m512i next =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    const __m512i mine = _mm512_maskz_expand_epi32(low, next);
    x = dwords(_mm512_or_si512(_mm512_mask_slli_epi32(v, low, v, 16), mine));
    return from + __builtin_popcount(low) * 2;
  }
};

constexpr LaneKernels kKernels = {
    "avx512",
    Encoder<Avx512Ops>::run,
    Decoder<Avx512Ops>::run,
    check_units<std::uint32_t>,
    check_units<std::uint16_t>,
    count_by_planes,
    stage_rest,
    make_rows,
    make_rows_wide,
    largest_symbol,
};

}  // namespace

const LaneKernels* avx512_kernels() {
  static const bool there =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("bmi") &&
      __builtin_cpu_supports("popcnt");
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
