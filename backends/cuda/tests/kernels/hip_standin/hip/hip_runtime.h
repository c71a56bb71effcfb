/* A stand-in for HIP on the host shim, for tests: HIP's qualifiers and the built-in functions that
 * device_hip.h names, so that the kernels' HIP side is compiled and run without a HIP compiler. The
 * wave is ACCEL_STANDIN_WAVE lanes wide. What it is not: AMD's instructions, memory or timing.
 */
#ifndef ACCEL_HIP_STANDIN_H
#define ACCEL_HIP_STANDIN_H

#include "shim.h"
#include "shim_kernel.h"

#define __HIP_STANDIN__ 1
#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __constant__ const
#define __shared__ static __attribute__((section("accel_shared"), used))
#define __launch_bounds__(...)

#define warpSize ACCEL_STANDIN_WAVE

namespace accel_standin {

struct Index {
  unsigned x, y, z;
};
inline Index thread_index() { return {accel_shim::here.thread, 0, 0}; }
inline Index block_size() { return {accel_shim::here.threads, 1, 1}; }
inline Index block_index() {
  const unsigned* b = accel_shim::here.block;
  return {b[0], b[1], b[2]};
}
inline Index grid_size() {
  const unsigned* g = accel_shim::here.grid;
  return {g[0], g[1], g[2]};
}

/* What the other half of a wave does is its own affair: its bits may be anything. */
inline unsigned long long ballot(int p, const char* file, int line) {
  const auto mine = accel_shim::bits(
      accel_shim::meet("__ballot", static_cast<std::uint64_t>(p), file, line));
  const unsigned long long other = accel_shim::noise();
  if (ACCEL_STANDIN_WAVE == 32) return mine;
  const bool upper = (accel_shim::here.thread & 32u) != 0;
  return upper ? static_cast<unsigned long long>(mine) << 32 | (other & 0xFFFFFFFFu)
               : (other & ~0xFFFFFFFFull) | mine;
}

template <typename T>
T shuffle(const char* name, T v, unsigned lane, int width, const char* file, int line) {
  if (width != 32) accel_shim::fail(file, line, "%s over %d lanes", name, width);
  return accel_shim::unpack<T>(
      accel_shim::meet(name, accel_shim::pack(v), file, line)[lane & 31u]);
}

}  // namespace accel_standin

#define threadIdx (accel_standin::thread_index())
#define blockDim (accel_standin::block_size())
#define blockIdx (accel_standin::block_index())
#define gridDim (accel_standin::grid_size())

#define ACCEL_STANDIN_WHERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(ACCEL_STANDIN_WHERE) { accel_shim::sync_threads(file, line); }
inline void standin_amdgcn_wave_barrier(ACCEL_STANDIN_WHERE) {
  accel_shim::meet("accel_sync_group", 0, file, line);
}
inline void standin_amdgcn_fence(int, const char*) {}
inline void __threadfence_block() { accel_shim::fence(); }
inline void __threadfence() { accel_shim::fence(); }
inline void __threadfence_system() { accel_shim::fence(); }

inline unsigned long long __ballot(int p, ACCEL_STANDIN_WHERE) {
  return accel_standin::ballot(p, file, line);
}
template <typename T>
T __shfl(T v, int lane, int width, ACCEL_STANDIN_WHERE) {
  return accel_standin::shuffle("__shfl", v, (unsigned)lane, width, file, line);
}
template <typename T>
T __shfl_up(T v, unsigned by, int width, ACCEL_STANDIN_WHERE) {
  const unsigned lane = accel_shim::here.thread & 31u;
  return accel_standin::shuffle("__shfl_up", v, by <= lane ? lane - by : lane, width, file, line);
}
template <typename T>
T __shfl_down(T v, unsigned by, int width, ACCEL_STANDIN_WHERE) {
  const unsigned lane = accel_shim::here.thread & 31u;
  const unsigned other = by < 32u - lane ? lane + by : lane;
  return accel_standin::shuffle("__shfl_down", v, other, width, file, line);
}
template <typename T>
T __shfl_xor(T v, int mask, int width, ACCEL_STANDIN_WHERE) {
  const unsigned lane = accel_shim::here.thread & 31u;
  return accel_standin::shuffle("__shfl_xor", v, lane ^ (unsigned)mask, width, file, line);
}

template <typename T>
T standin_nontemporal_load(const T* p, ACCEL_STANDIN_WHERE) {
  accel_shim::check_aligned(p, alignof(T), file, line);
  return *p;
}

#define __HIP_MEMORY_SCOPE_AGENT 4
#define __HIP_MEMORY_SCOPE_SYSTEM 5
#define __hip_atomic_fetch_add(p, v, order, scope) \
  (accel_shim::maybe_yield(), __atomic_fetch_add(p, v, order))
#define __hip_atomic_fetch_or(p, v, order, scope) \
  (accel_shim::maybe_yield(), __atomic_fetch_or(p, v, order))
#define __hip_atomic_exchange(p, v, order, scope) \
  (accel_shim::maybe_yield(), __atomic_exchange_n(p, v, order))
#define __hip_atomic_compare_exchange_strong(p, e, v, order, other, scope) \
  (accel_shim::maybe_yield(), __atomic_compare_exchange_n(p, e, v, false, order, other))
#define __hip_atomic_load(p, order, scope) (accel_shim::maybe_yield(), __atomic_load_n(p, order))
#define __hip_atomic_store(p, v, order, scope) \
  (__atomic_store_n(p, v, order), accel_shim::maybe_yield())

template <typename T>
T atomicMin(T* p, T v) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (v < old && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED,
                                                 __ATOMIC_RELAXED)) {
  }
  return old;
}
template <typename T>
T atomicMax(T* p, T v) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < v && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED,
                                                 __ATOMIC_RELAXED)) {
  }
  return old;
}

inline unsigned __umulhi(unsigned a, unsigned b) {
  return (unsigned)((unsigned long long)a * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}

inline void standin_amdgcn_s_sleep(int, ACCEL_STANDIN_WHERE) { accel_shim::yield(file, line); }
inline unsigned long long wall_clock64() { return accel_shim::nanoseconds() / 10; }

/* As macros: g++ does not mangle names that begin with __builtin. */
#define __builtin_nontemporal_load standin_nontemporal_load
#define __builtin_amdgcn_wave_barrier standin_amdgcn_wave_barrier
#define __builtin_amdgcn_fence standin_amdgcn_fence
#define __builtin_amdgcn_s_sleep standin_amdgcn_s_sleep

#endif
