/* device.h on the host shim: the threads of a block are fibers of shim.cpp.
 *
 * Whatever waits for other threads goes to shim.cpp with its line, so that threads that meet in
 * different places are told apart. Accesses check their alignment, as a GPU does.
 */
#ifndef ACCEL_CUDA_DEVICE_HOST_H
#define ACCEL_CUDA_DEVICE_HOST_H

#include "shim.h"
#include "shim_kernel.h"

#define ACCEL_DEVICE static inline
#define ACCEL_GLOBAL
/* One section, so that the shim can poison it before every block. */
#define ACCEL_SHARED static __attribute__((section("accel_shared"), used))
#define ACCEL_CONSTANT static const
#define ACCEL_GRID_CONSTANT
#define ACCEL_UNROLL
#define ACCEL_NO_UNROLL

#define ACCEL_SHIM_WHERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* --- where this thread is ----------------------------------------------------------------------- */

ACCEL_DEVICE accel_u32 accel_thread() { return accel_shim::here.thread; }
ACCEL_DEVICE accel_u32 accel_threads() { return accel_shim::here.threads; }
ACCEL_DEVICE accel_u32 accel_block_x() { return accel_shim::here.block[0]; }
ACCEL_DEVICE accel_u32 accel_block_y() { return accel_shim::here.block[1]; }
ACCEL_DEVICE accel_u32 accel_block_z() { return accel_shim::here.block[2]; }
ACCEL_DEVICE accel_u32 accel_grid_x() { return accel_shim::here.grid[0]; }
ACCEL_DEVICE accel_u32 accel_grid_y() { return accel_shim::here.grid[1]; }
ACCEL_DEVICE accel_u32 accel_grid_z() { return accel_shim::here.grid[2]; }
ACCEL_DEVICE accel_u32 accel_lane() { return accel_shim::here.thread & 31u; }
ACCEL_DEVICE accel_u32 accel_group() { return accel_shim::here.thread >> 5; }

/* --- barriers, fences and groups ---------------------------------------------------------------- */

ACCEL_DEVICE void accel_sync_threads(ACCEL_SHIM_WHERE) { accel_shim::sync_threads(file, line); }
ACCEL_DEVICE void accel_sync_group(ACCEL_SHIM_WHERE) {
  accel_shim::meet("accel_sync_group", 0, file, line);
}
ACCEL_DEVICE void accel_fence_block() { accel_shim::fence(); }
ACCEL_DEVICE void accel_fence_device() { accel_shim::fence(); }
ACCEL_DEVICE void accel_fence_system() { accel_shim::fence(); }

ACCEL_DEVICE accel_u32 accel_ballot(bool p, ACCEL_SHIM_WHERE) {
  return accel_shim::bits(accel_shim::meet("accel_ballot", p, file, line));
}
ACCEL_DEVICE bool accel_any(bool p, ACCEL_SHIM_WHERE) {
  return accel_shim::bits(accel_shim::meet("accel_any", p, file, line)) != 0;
}
ACCEL_DEVICE bool accel_all(bool p, ACCEL_SHIM_WHERE) {
  return accel_shim::bits(accel_shim::meet("accel_all", p, file, line)) == 0xFFFFFFFFu;
}

template <typename T>
ACCEL_DEVICE T accel_shuffle(T v, accel_u32 lane, ACCEL_SHIM_WHERE) {
  const auto all = accel_shim::meet("accel_shuffle", accel_shim::pack(v), file, line);
  return accel_shim::unpack<T>(all[lane & 31u]);
}
template <typename T>
ACCEL_DEVICE T accel_shuffle_up(T v, accel_u32 by, ACCEL_SHIM_WHERE) {
  const auto all = accel_shim::meet("accel_shuffle_up", accel_shim::pack(v), file, line);
  const accel_u32 lane = accel_lane();
  return accel_shim::unpack<T>(all[by <= lane ? lane - by : lane]);
}
template <typename T>
ACCEL_DEVICE T accel_shuffle_down(T v, accel_u32 by, ACCEL_SHIM_WHERE) {
  const auto all = accel_shim::meet("accel_shuffle_down", accel_shim::pack(v), file, line);
  const accel_u32 lane = accel_lane();
  return accel_shim::unpack<T>(all[by < 32u - lane ? lane + by : lane]);
}
template <typename T>
ACCEL_DEVICE T accel_shuffle_xor(T v, accel_u32 mask, ACCEL_SHIM_WHERE) {
  const auto all = accel_shim::meet("accel_shuffle_xor", accel_shim::pack(v), file, line);
  return accel_shim::unpack<T>(all[(accel_lane() ^ mask) & 31u]);
}

/* --- memory -------------------------------------------------------------------------------------- */

template <typename T>
ACCEL_DEVICE T accel_load(const T* p, ACCEL_SHIM_WHERE) {
  accel_shim::check_aligned(p, alignof(T), file, line);
  return *p;
}
template <typename T>
ACCEL_DEVICE T accel_load_stream(const T* p, ACCEL_SHIM_WHERE) {
  return accel_load(p, file, line);
}
template <typename T>
ACCEL_DEVICE void accel_store(T* p, T v, ACCEL_SHIM_WHERE) {
  accel_shim::check_aligned(p, alignof(T), file, line);
  *p = v;
}

/* --- atomics: each may let other threads go first ------------------------------------------------ */

template <typename T>
ACCEL_DEVICE T accel_atomic_add(T* p, T v) {
  accel_shim::maybe_yield();
  return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_or(T* p, T v) {
  accel_shim::maybe_yield();
  return __atomic_fetch_or(p, v, __ATOMIC_RELAXED);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_exchange(T* p, T v) {
  accel_shim::maybe_yield();
  return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_cas(T* p, T expected, T desired) {
  accel_shim::maybe_yield();
  __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_RELAXED,
                              __ATOMIC_RELAXED);
  return expected;
}

#define ACCEL_SHIM_ORDERED(suffix)                                                  \
  template <typename T>                                                             \
  ACCEL_DEVICE T accel_load_acquire##suffix(const T* p) {                           \
    accel_shim::maybe_yield();                                                      \
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);                                    \
  }                                                                                 \
  template <typename T>                                                             \
  ACCEL_DEVICE void accel_store_release##suffix(T* p, T v) {                        \
    __atomic_store_n(p, v, __ATOMIC_RELEASE);                                       \
    accel_shim::maybe_yield();                                                      \
  }
ACCEL_SHIM_ORDERED()
ACCEL_SHIM_ORDERED(_system)
#undef ACCEL_SHIM_ORDERED

template <typename T>
ACCEL_DEVICE T accel_atomic_min(T* p, T v) {
  T old = accel_load_acquire(p);
  for (T seen; v < old && (seen = accel_atomic_cas(p, old, v)) != old;) old = seen;
  return old;
}
template <typename T>
ACCEL_DEVICE T accel_atomic_max(T* p, T v) {
  T old = accel_load_acquire(p);
  for (T seen; old < v && (seen = accel_atomic_cas(p, old, v)) != old;) old = seen;
  return old;
}

/* --- arithmetic ----------------------------------------------------------------------------------- */

ACCEL_DEVICE accel_u32 accel_popc(accel_u32 v) { return (accel_u32)__builtin_popcount(v); }
ACCEL_DEVICE accel_u32 accel_popc(accel_u64 v) { return (accel_u32)__builtin_popcountll(v); }
ACCEL_DEVICE accel_u32 accel_clz(accel_u32 v) {
  return v ? (accel_u32)__builtin_clz(v) : 32u;
}
ACCEL_DEVICE accel_u32 accel_clz(accel_u64 v) {
  return v ? (accel_u32)__builtin_clzll(v) : 64u;
}
ACCEL_DEVICE accel_u32 accel_ffs(accel_u32 v) { return (accel_u32)__builtin_ffs((int)v); }
ACCEL_DEVICE accel_u32 accel_ffs(accel_u64 v) { return (accel_u32)__builtin_ffsll((accel_i64)v); }
ACCEL_DEVICE accel_u32 accel_mul_high(accel_u32 a, accel_u32 b) {
  return (accel_u32)((accel_u64)a * b >> 32);
}
ACCEL_DEVICE accel_u64 accel_mul_high(accel_u64 a, accel_u64 b) {
  return (accel_u64)((unsigned __int128)a * b >> 64);
}
ACCEL_DEVICE accel_u32 accel_byte_permute(accel_u32 a, accel_u32 b, accel_u32 selector) {
  const accel_u64 both = (accel_u64)b << 32 | a;
  accel_u32 result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const accel_u32 nibble = selector >> 4 * i & 15u;
    const accel_u32 byte = (accel_u32)(both >> 8 * (nibble & 7u)) & 0xFFu;
    result |= (nibble & 8u ? (byte & 0x80u ? 0xFFu : 0u) : byte) << 8 * i;
  }
  return result;
}
ACCEL_DEVICE float accel_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
ACCEL_DEVICE float accel_rint(float x) { return __builtin_rintf(x); }

/* --- time: a sleeping thread lets the others run -------------------------------------------------- */

ACCEL_DEVICE void accel_nanosleep(accel_u32, ACCEL_SHIM_WHERE) { accel_shim::yield(file, line); }
ACCEL_DEVICE accel_u64 accel_globaltimer() { return accel_shim::nanoseconds(); }

#endif
