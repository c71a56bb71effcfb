// The coder's loops for AVX2.
#include "lanes.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include <accel/kv_codec.h>

// To the end of the file: what follows includes no header of others.
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,bmi,popcnt")
#endif
#pragma GCC diagnostic ignored "-Wpsabi"  // no vector crosses the boundary of this file

namespace accel_cpu::coding {
namespace {

constexpr int kVectorBytes = 32;
#include "lane_vectors.hpp"
#include "lane_coder.hpp"
#include "lane_scans.hpp"
#include "lane_model.hpp"

// For each set of 8 lanes, by lane: which word it takes (expand), and by word, right-aligned: which
// lane gave it (compress).
struct LaneOrders {
  alignas(32) std::array<std::array<std::int32_t, 8>, 256> expand{}, compress{};

  constexpr LaneOrders() {
    for (int set = 0; set < 256; ++set) {
      int taken = 0;
      for (int lane = 0; lane < 8; ++lane) {
        expand[set][lane] = taken;
        taken += set >> lane & 1;
      }
      int at = 8 - taken;
      for (int lane = 0; lane < 8; ++lane) {
        if (set >> lane & 1) compress[set][at++] = lane;
      }
    }
  }
};
constexpr LaneOrders kOrders;

struct Avx2Ops : PortableOps {
  static ACCEL_INLINE __m256i order(const std::array<std::int32_t, 8>& lanes) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes.data()));
  }

  static ACCEL_INLINE U16x32 select(const Mask& mask, const U16x32& yes, const U16x32& no) {
    U16x32 r;
    for (int i = 0; i < 2; ++i) {
      r.part[i] = (U16x32::Part)_mm256_blendv_epi8((__m256i)no.part[i], (__m256i)yes.part[i],
                                                   (__m256i)mask.part[i]);
    }
    return r;
  }
  static ACCEL_INLINE U16x32 narrow(const U32x16 (&wide)[2]) {
    U16x32 r;
    for (int i = 0; i < 2; ++i) {
      const __m256i packed =
          _mm256_packus_epi32((__m256i)wide[i].part[0], (__m256i)wide[i].part[1]);
      r.part[i] = (U16x32::Part)_mm256_permute4x64_epi64(packed, 0xD8);
    }
    return r;
  }
  static ACCEL_INLINE void widen(const U16x32& from, U32x16 (&wide)[2]) {
    for (int i = 0; i < 2; ++i) {
      const __m256i both = (__m256i)from.part[i];
      wide[i].part[0] =
          (U32x16::Part)_mm256_cvtepu16_epi32(_mm256_castsi256_si128(both));
      wide[i].part[1] =
          (U32x16::Part)_mm256_cvtepu16_epi32(_mm256_extracti128_si256(both, 1));
    }
  }
  static ACCEL_INLINE void store_symbols(const U16x32& symbols, std::uint8_t* to) {
    const __m256i packed =
        _mm256_packus_epi16((__m256i)symbols.part[0], (__m256i)symbols.part[1]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(packed, 0xD8));
  }
  static ACCEL_INLINE unsigned count_at_most(const std::uint16_t* values, std::uint16_t slot) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
    const __m256i above = _mm256_cmpgt_epi16(v, _mm256_set1_epi16(static_cast<short>(slot)));
    const auto bits = static_cast<unsigned>(_mm256_movemask_epi8(above));
    return 16 - static_cast<unsigned>(__builtin_popcount(bits)) / 2;
  }

  static ACCEL_INLINE void load_symbols(const std::uint8_t* from, std::uint8_t most,
                                        U32x16 (&symbols)[2]) {
    for (int i = 0; i < 2; ++i) {
      const __m128i bytes =
          _mm_min_epu8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + i),
                       _mm_set1_epi8(static_cast<char>(most)));
      symbols[i].part[0] = (U32x16::Part)_mm256_cvtepu8_epi32(bytes);
      symbols[i].part[1] = (U32x16::Part)_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8));
    }
  }
  static ACCEL_INLINE U32x16 look_up(const std::uint16_t* model, const U32x16& index) {
    U32x16 r;
    for (int i = 0; i < 2; ++i) {
      r.part[i] = (U32x16::Part)_mm256_i32gather_epi32(reinterpret_cast<const int*>(model),
                                                       (__m256i)index.part[i], 2);
    }
    return r;
  }
  static ACCEL_INLINE unsigned set_of(__m256i lanes) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(lanes)));
  }
  static ACCEL_INLINE std::uint16_t* give(std::uint16_t* to, U32x16& x, const U32x16& frequency) {
    for (int h = 1; h >= 0; --h) {
      const __m256i v = (__m256i)x.part[h];
      const __m256i top = _mm256_srli_epi32(v, 32 - ACCEL_CODEC_SCALE_BITS);
      const __m256i stays = _mm256_cmpgt_epi32((__m256i)frequency.part[h], top);
      const unsigned set = set_of(stays) ^ 0xFF;
      const __m256i words = _mm256_permutevar8x32_epi32(
          _mm256_and_si256(v, _mm256_set1_epi32(0xFFFF)), order(kOrders.compress[set]));
      const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(words),
                                              _mm256_extracti128_si256(words, 1));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to - 8), packed);
      to -= __builtin_popcount(set);
      x.part[h] = (U32x16::Part)_mm256_blendv_epi8(_mm256_srli_epi32(v, 16), v, stays);
    }
    return to;
  }
  static ACCEL_INLINE const std::uint8_t* take(const std::uint8_t* from, U32x16& x) {
    for (int h = 0; h < 2; ++h) {
      const __m256i v = (__m256i)x.part[h];
      const __m256i low =
          _mm256_cmpeq_epi32(_mm256_srli_epi32(v, 16), _mm256_setzero_si256());
      const unsigned set = set_of(low);
      const __m256i words =
          _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
      const __m256i mine = _mm256_permutevar8x32_epi32(words, order(kOrders.expand[set]));
      const __m256i taken = _mm256_or_si256(_mm256_slli_epi32(v, 16), mine);
      x.part[h] = (U32x16::Part)_mm256_blendv_epi8(v, taken, low);
      from += __builtin_popcount(set) * 2;
    }
    return from;
  }
};

constexpr LaneKernels kKernels = {
    "avx2",
    Encoder<Avx2Ops>::run,
    Decoder<Avx2Ops>::run,
    check_units<std::uint32_t>,
    check_units<std::uint16_t>,
    count_symbols<8>,
    stage_rest,
    make_rows,
    make_rows_wide,
    largest_symbol,
};

}  // namespace

const LaneKernels* avx2_kernels() {
  static const bool there = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                            __builtin_cpu_supports("popcnt");
  return there ? &kKernels : nullptr;
}

}  // namespace accel_cpu::coding

#ifdef __clang__
#pragma clang attribute pop
#endif

#else

namespace accel_cpu::coding {
const LaneKernels* avx2_kernels() { return nullptr; }
}  // namespace accel_cpu::coding

#endif
