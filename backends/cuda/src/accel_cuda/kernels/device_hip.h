/* device.h on HIP: AMD and Hygon, waves of 64 or 32. Built, not run on hardware.
 *
 * A group is a wave of 32 or one half of a wave of 64; the halves may take different branches. One
 * block's threads are one-dimensional, so bit 5 of the index says which half a thread is in.
 */
#ifndef ACCEL_CUDA_DEVICE_HIP_H
#define ACCEL_CUDA_DEVICE_HIP_H

#ifndef __HIPCC_RTC__ /* hiprtc has it built in; hipcc does not */
#include <hip/hip_runtime.h>
#endif

#define ACCEL_CUDA_ARCH 0

#define ACCEL_DEVICE static __device__ __forceinline__
#define ACCEL_GLOBAL __global__
#define ACCEL_SHARED __shared__
#define ACCEL_CONSTANT __constant__
#define ACCEL_GRID_CONSTANT
#define ACCEL_UNROLL _Pragma("unroll")
#define ACCEL_NO_UNROLL _Pragma("unroll 1")

/* The second number of CUDA's bounds counts something else here. Tests declare kernels otherwise. */
#ifndef ACCEL_KERNEL
#define ACCEL_KERNEL(name, Args, args) extern "C" ACCEL_GLOBAL void name(const Args args)
#define ACCEL_KERNEL_BOUNDS(threads, blocks, name, Args, args) \
  extern "C" ACCEL_GLOBAL void __launch_bounds__(threads) name(const Args args)
#define ACCEL_DYNAMIC_SHARED(type, name)                                                        \
  extern __shared__ __attribute__((aligned(128))) unsigned char accel_dynamic_bytes[];          \
  type* const name = reinterpret_cast<type*>(accel_dynamic_bytes)
#endif

/* --- where this thread is ----------------------------------------------------------------------- */

ACCEL_DEVICE accel_u32 accel_thread() { return threadIdx.x; }
ACCEL_DEVICE accel_u32 accel_threads() { return blockDim.x; }
ACCEL_DEVICE accel_u32 accel_block_x() { return blockIdx.x; }
ACCEL_DEVICE accel_u32 accel_block_y() { return blockIdx.y; }
ACCEL_DEVICE accel_u32 accel_block_z() { return blockIdx.z; }
ACCEL_DEVICE accel_u32 accel_grid_x() { return gridDim.x; }
ACCEL_DEVICE accel_u32 accel_grid_y() { return gridDim.y; }
ACCEL_DEVICE accel_u32 accel_grid_z() { return gridDim.z; }
ACCEL_DEVICE accel_u32 accel_lane() { return threadIdx.x & 31u; }
ACCEL_DEVICE accel_u32 accel_group() { return threadIdx.x >> 5; }

/* --- barriers, fences and groups ---------------------------------------------------------------- */

ACCEL_DEVICE void accel_sync_threads() { __syncthreads(); }
/* Lanes of a wave run in step; what remains is to keep the compiler from moving accesses over it. */
ACCEL_DEVICE void accel_sync_group() {
  __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
  __builtin_amdgcn_wave_barrier();
}
ACCEL_DEVICE void accel_fence_block() { __threadfence_block(); }
ACCEL_DEVICE void accel_fence_device() { __threadfence(); }
ACCEL_DEVICE void accel_fence_system() { __threadfence_system(); }

ACCEL_DEVICE accel_u32 accel_ballot(bool p) {
  const accel_u64 wave = __ballot(p ? 1 : 0);
  return (accel_u32)(warpSize == 64 ? wave >> (threadIdx.x & 32u) : wave);
}
ACCEL_DEVICE bool accel_any(bool p) { return accel_ballot(p) != 0; }
ACCEL_DEVICE bool accel_all(bool p) { return accel_ballot(p) == 0xFFFFFFFFu; }

template <typename T>
ACCEL_DEVICE T accel_shuffle(T v, accel_u32 lane) {
  return __shfl(v, (int)(lane & 31u), 32);
}
template <typename T>
ACCEL_DEVICE T accel_shuffle_up(T v, accel_u32 by) {
  return __shfl_up(v, by, 32);
}
template <typename T>
ACCEL_DEVICE T accel_shuffle_down(T v, accel_u32 by) {
  return __shfl_down(v, by, 32);
}
template <typename T>
ACCEL_DEVICE T accel_shuffle_xor(T v, accel_u32 mask) {
  return __shfl_xor(v, (int)mask, 32);
}

/* --- memory -------------------------------------------------------------------------------------- */

/* The compiler's own vectors: only they can be loaded and stored past the caches. */
typedef accel_u32 accel_hip_x2 __attribute__((vector_size(8)));
typedef accel_u32 accel_hip_x4 __attribute__((vector_size(16)));

template <typename T>
ACCEL_DEVICE T accel_load(const T* p) {
  return *p;
}
template <typename T>
ACCEL_DEVICE void accel_store(T* p, T v) {
  *p = v;
}

template <typename T>
ACCEL_DEVICE T accel_load_stream(const T* p) {
  return __builtin_nontemporal_load(p);
}
ACCEL_DEVICE accel_u32x2 accel_load_stream(const accel_u32x2* p) {
  const accel_hip_x2 v = __builtin_nontemporal_load(reinterpret_cast<const accel_hip_x2*>(p));
  return accel_u32x2{v[0], v[1]};
}
ACCEL_DEVICE accel_u32x4 accel_load_stream(const accel_u32x4* p) {
  const accel_hip_x4 v = __builtin_nontemporal_load(reinterpret_cast<const accel_hip_x4*>(p));
  return accel_u32x4{v[0], v[1], v[2], v[3]};
}

/* --- atomics ------------------------------------------------------------------------------------- */

template <typename T>
ACCEL_DEVICE T accel_atomic_add(T* p, T v) {
  return __hip_atomic_fetch_add(p, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_or(T* p, T v) {
  return __hip_atomic_fetch_or(p, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_exchange(T* p, T v) {
  return __hip_atomic_exchange(p, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_cas(T* p, T expected, T desired) {
  __hip_atomic_compare_exchange_strong(p, &expected, desired, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
  return expected;
}

#define ACCEL_HIP_ORDERED(suffix, scope)                                                           \
  template <typename T>                                                                            \
  ACCEL_DEVICE T accel_load_acquire##suffix(const T* p) {                                          \
    return __hip_atomic_load(p, __ATOMIC_ACQUIRE, scope);                                          \
  }                                                                                                \
  template <typename T>                                                                            \
  ACCEL_DEVICE void accel_store_release##suffix(T* p, T v) {                                       \
    __hip_atomic_store(p, v, __ATOMIC_RELEASE, scope);                                             \
  }
ACCEL_HIP_ORDERED(, __HIP_MEMORY_SCOPE_AGENT)
ACCEL_HIP_ORDERED(_system, __HIP_MEMORY_SCOPE_SYSTEM)
#undef ACCEL_HIP_ORDERED

template <typename T>
ACCEL_DEVICE T accel_atomic_min(T* p, T v) {
  return atomicMin(p, v);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_max(T* p, T v) {
  return atomicMax(p, v);
}

/* --- arithmetic ----------------------------------------------------------------------------------- */

ACCEL_DEVICE accel_u32 accel_popc(accel_u32 v) { return (accel_u32)__builtin_popcount(v); }
ACCEL_DEVICE accel_u32 accel_popc(accel_u64 v) { return (accel_u32)__builtin_popcountll(v); }
ACCEL_DEVICE accel_u32 accel_clz(accel_u32 v) { return v ? (accel_u32)__builtin_clz(v) : 32u; }
ACCEL_DEVICE accel_u32 accel_clz(accel_u64 v) { return v ? (accel_u32)__builtin_clzll(v) : 64u; }
ACCEL_DEVICE accel_u32 accel_ffs(accel_u32 v) { return (accel_u32)__builtin_ffs((int)v); }
ACCEL_DEVICE accel_u32 accel_ffs(accel_u64 v) { return (accel_u32)__builtin_ffsll((accel_i64)v); }
ACCEL_DEVICE accel_u32 accel_mul_high(accel_u32 a, accel_u32 b) { return __umulhi(a, b); }
ACCEL_DEVICE accel_u64 accel_mul_high(accel_u64 a, accel_u64 b) { return __umul64hi(a, b); }
/* v_perm_b32 counts selectors of 8 and more otherwise, so the sign bytes are made by hand. */
ACCEL_DEVICE accel_u32 accel_byte_permute(accel_u32 a, accel_u32 b, accel_u32 selector) {
  const accel_u64 both = (accel_u64)b << 32 | a;
  accel_u32 result = 0;
  for (accel_u32 i = 0; i < 4; ++i) {
    const accel_u32 nibble = selector >> 4 * i & 15u;
    const accel_u32 byte = (accel_u32)(both >> 8 * (nibble & 7u)) & 0xFFu;
    result |= (nibble & 8u ? (byte & 0x80u ? 0xFFu : 0u) : byte) << 8 * i;
  }
  return result;
}
ACCEL_DEVICE float accel_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
ACCEL_DEVICE float accel_rint(float x) { return __builtin_rintf(x); }

/* --- time ------------------------------------------------------------------------------------------ */

/* 64 cycles a step, at most so many at a time: the instruction takes a constant. */
ACCEL_DEVICE void accel_nanosleep(accel_u32 nanoseconds) {
  if (nanoseconds > 500u) {
    __builtin_amdgcn_s_sleep(15);
  } else {
    __builtin_amdgcn_s_sleep(1);
  }
}
ACCEL_DEVICE accel_u64 accel_globaltimer() { return (accel_u64)wall_clock64() * 10u; /* 100 MHz */ }

#endif
