// The row loops for AVX-512 (F, BW, DQ, VL: Skylake-X, Zen 4 and later).
#include "rows.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <accel/kv_number.h>
#include <immintrin.h>

#include <cstring>

// To the end of the file: what follows includes no header of others.
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif

namespace accel_cpu::numeric {
namespace {
#define ACCEL_ROW_LANES 16
#include "row_loops.hpp"

// The processor's own conversions, several times as fast as the loops; NaNs and infinities, which
// it treats in its own way, go through kv_number.h. (GCC 12 warns of its own unmasked intrinsics.)
constexpr __mmask16 kAll = 0xFFFF;

void load_f16(const void* from, std::size_t n, float* to) {
  const auto* source = static_cast<const accel_u16*>(from);
  const __m256i exponent = _mm256_set1_epi16(0x7C00);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i));
    _mm512_storeu_ps(to + i, _mm512_maskz_cvtph_ps(kAll, bits));
    if (_mm256_cmpeq_epi16_mask(_mm256_and_si256(bits, exponent), exponent) != 0) {
      load_row<accel_u16, accel_from_f16>(source + i, 16, to + i);
    }
  }
  load_row<accel_u16, accel_from_f16>(source + i, n - i, to + i);
}

void store_f16(const float* from, std::size_t n, void* to) {
  auto* target = static_cast<accel_u16*>(to);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m512 x = _mm512_loadu_ps(from + i);
    const __m256i bits = _mm512_maskz_cvtps_ph(kAll, x, _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target + i), bits);
    if (_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q) != 0) {
      store_row<accel_u16, accel_to_f16>(from + i, 16, target + i);
    }
  }
  store_row<accel_u16, accel_to_f16>(from + i, n - i, target + i);
}

constexpr RowKernels kRows = with_f16(table("avx512"), load_f16, store_f16);
}  // namespace

const RowKernels* avx512_rows() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return has ? &kRows : nullptr;
}

}  // namespace accel_cpu::numeric

#ifdef __clang__
#pragma clang attribute pop
#endif

#else

namespace accel_cpu::numeric {
const RowKernels* avx512_rows() { return nullptr; }
}  // namespace accel_cpu::numeric

#endif
