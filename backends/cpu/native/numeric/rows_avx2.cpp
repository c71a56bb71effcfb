// The row loops for AVX2 and F16C (Haswell, Zen and later).
#include "rows.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <accel/kv_number.h>
#include <immintrin.h>

#include <cstring>

// To the end of the file: what follows includes no header of others.
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,f16c")
#endif

namespace accel_cpu::numeric {
namespace {
#define ACCEL_ROW_LANES 8
#include "row_loops.hpp"

// The processor's own conversions, several times as fast as the loops; NaNs and infinities, which
// it treats in its own way, go through kv_number.h.
void load_f16(const void* from, std::size_t n, float* to) {
  const auto* source = static_cast<const accel_u16*>(from);
  const __m128i exponent = _mm_set1_epi16(0x7C00);
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i));
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(bits));
    const __m128i special = _mm_cmpeq_epi16(_mm_and_si128(bits, exponent), exponent);
    if (_mm_movemask_epi8(special) != 0) {
      load_row<accel_u16, accel_from_f16>(source + i, 8, to + i);
    }
  }
  load_row<accel_u16, accel_from_f16>(source + i, n - i, to + i);
}

void store_f16(const float* from, std::size_t n, void* to) {
  auto* target = static_cast<accel_u16*>(to);
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256 x = _mm256_loadu_ps(from + i);
    const __m128i bits = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target + i), bits);
    if (_mm256_movemask_ps(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)) != 0) {
      store_row<accel_u16, accel_to_f16>(from + i, 8, target + i);
    }
  }
  store_row<accel_u16, accel_to_f16>(from + i, n - i, target + i);
}

constexpr RowKernels kRows = with_f16(table("avx2"), load_f16, store_f16);
}  // namespace

const RowKernels* avx2_rows() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
  return has ? &kRows : nullptr;
}

}  // namespace accel_cpu::numeric

#ifdef __clang__
#pragma clang attribute pop
#endif

#else

namespace accel_cpu::numeric {
const RowKernels* avx2_rows() { return nullptr; }
}  // namespace accel_cpu::numeric

#endif
