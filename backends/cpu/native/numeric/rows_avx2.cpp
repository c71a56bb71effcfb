// The row loops for AVX2.
#include "rows.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <accel/kv_number.h>
#include <cstring>

// To the end of the file: what follows includes no header of others.
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

namespace accel_cpu::numeric {
namespace {
#include "row_loops.hpp"
constexpr RowKernels kRows = table("avx2");
}  // namespace

const RowKernels* avx2_rows() {
  static const bool has = __builtin_cpu_supports("avx2");
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
