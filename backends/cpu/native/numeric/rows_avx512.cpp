// The row loops for AVX-512 (F, BW, DQ, VL: Skylake-X, Zen 4 and later).
#include "rows.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <accel/kv_number.h>
#include <cpuid.h>
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

// Of AVX512_BF16 (Cooper Lake, Zen 4 and later). The instruction takes subnormal numbers for zero:
// rows that have some go the other way.
__attribute__((target("avx512bf16"))) void store_bf16(const float* from, std::size_t n, void* to) {
  constexpr int kSubnormal = 0x20;
  auto* target = static_cast<accel_u16*>(to);
  std::size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m512 low = _mm512_loadu_ps(from + i), high = _mm512_loadu_ps(from + i + 16);
    if ((_mm512_fpclass_ps_mask(low, kSubnormal) | _mm512_fpclass_ps_mask(high, kSubnormal)) != 0) {
      store_row<accel_u16, accel_to_bf16>(from + i, 32, target + i);
    } else {
      const __m512bh both = _mm512_cvtne2ps_pbh(high, low);
      std::memcpy(target + i, &both, sizeof both);
    }
  }
  store_row<accel_u16, accel_to_bf16>(from + i, n - i, target + i);
}

// CPUID 7.1, EAX bit 5.
bool has_bf16() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1) != 0;
}

constexpr RowKernels kRows = with_f16(table("avx512"), load_f16, store_f16);
}  // namespace

const RowKernels* avx512_rows() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  static const RowKernels rows = [] {
    RowKernels made = kRows;
    if (has && has_bf16()) made.store[static_cast<int>(Kind::BF16)] = store_bf16;
    return made;
  }();
  return has ? &rows : nullptr;
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
