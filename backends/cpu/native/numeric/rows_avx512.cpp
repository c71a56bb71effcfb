// The row loops for AVX-512 (F, BW, DQ, VL: Skylake-X, Zen 4 and later).
#include "rows.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <accel/kv_number.h>
#include <cstring>

// To the end of the file: what follows includes no header of others.
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif

namespace accel_cpu::numeric {
namespace {
#include "row_loops.hpp"
constexpr RowKernels kRows = table("avx512");
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
