/* device.h on CUDA: what it lists, in CUDA's own words. sm_75 and later. */
#ifndef ACCEL_CUDA_DEVICE_CUDA_H
#define ACCEL_CUDA_DEVICE_CUDA_H

#ifdef __CUDA_ARCH__
#define ACCEL_CUDA_ARCH __CUDA_ARCH__
#else
#define ACCEL_CUDA_ARCH 0 /* nvcc's pass over the host's side */
#endif

#define ACCEL_DEVICE static __device__ __forceinline__
#define ACCEL_GLOBAL __global__
#define ACCEL_SHARED __shared__
#define ACCEL_CONSTANT __constant__
#if ACCEL_CUDA_ARCH >= 700
#define ACCEL_GRID_CONSTANT __grid_constant__
#else
#define ACCEL_GRID_CONSTANT
#endif
#define ACCEL_UNROLL _Pragma("unroll")
#define ACCEL_NO_UNROLL _Pragma("unroll 1")

#define ACCEL_KERNEL(name, Args, args) \
  extern "C" ACCEL_GLOBAL void name(const ACCEL_GRID_CONSTANT Args args)
#define ACCEL_KERNEL_BOUNDS(threads, blocks, name, Args, args)       \
  extern "C" ACCEL_GLOBAL void __launch_bounds__(threads, blocks) name( \
      const ACCEL_GRID_CONSTANT Args args)

#define ACCEL_DYNAMIC_SHARED(type, name)                               \
  extern __shared__ __align__(128) unsigned char accel_dynamic_bytes[]; \
  type* const name = reinterpret_cast<type*>(accel_dynamic_bytes)

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
ACCEL_DEVICE void accel_sync_group() { __syncwarp(0xFFFFFFFFu); }
ACCEL_DEVICE void accel_fence_block() { __threadfence_block(); }
ACCEL_DEVICE void accel_fence_device() { __threadfence(); }
ACCEL_DEVICE void accel_fence_system() { __threadfence_system(); }

ACCEL_DEVICE accel_u32 accel_ballot(bool p) { return __ballot_sync(0xFFFFFFFFu, p); }
ACCEL_DEVICE bool accel_any(bool p) { return __any_sync(0xFFFFFFFFu, p) != 0; }
ACCEL_DEVICE bool accel_all(bool p) { return __all_sync(0xFFFFFFFFu, p) != 0; }

template <typename T>
ACCEL_DEVICE T accel_shuffle(T v, accel_u32 lane) {
  return __shfl_sync(0xFFFFFFFFu, v, (int)lane);
}
template <typename T>
ACCEL_DEVICE T accel_shuffle_up(T v, accel_u32 by) {
  return __shfl_up_sync(0xFFFFFFFFu, v, by);
}
template <typename T>
ACCEL_DEVICE T accel_shuffle_down(T v, accel_u32 by) {
  return __shfl_down_sync(0xFFFFFFFFu, v, by);
}
template <typename T>
ACCEL_DEVICE T accel_shuffle_xor(T v, accel_u32 mask) {
  return __shfl_xor_sync(0xFFFFFFFFu, v, (int)mask);
}

/* --- memory -------------------------------------------------------------------------------------- */

template <typename T>
ACCEL_DEVICE T accel_load(const T* p) {
  return *p;
}
template <typename T>
ACCEL_DEVICE void accel_store(T* p, T v) {
  *p = v;
}

ACCEL_DEVICE accel_u8 accel_load_stream(const accel_u8* p) {
  accel_u32 v;
  asm volatile("ld.global.nc.L1::no_allocate.u8 %0, [%1];"
               : "=r"(v)
               : "l"(__cvta_generic_to_global(p)));
  return (accel_u8)v;
}
ACCEL_DEVICE accel_u16 accel_load_stream(const accel_u16* p) {
  accel_u16 v;
  asm volatile("ld.global.nc.L1::no_allocate.u16 %0, [%1];"
               : "=h"(v)
               : "l"(__cvta_generic_to_global(p)));
  return v;
}
ACCEL_DEVICE accel_u32 accel_load_stream(const accel_u32* p) {
  accel_u32 v;
  asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];"
               : "=r"(v)
               : "l"(__cvta_generic_to_global(p)));
  return v;
}
ACCEL_DEVICE accel_u32x2 accel_load_stream(const accel_u32x2* p) {
  accel_u32x2 v;
  asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
               : "=r"(v.x), "=r"(v.y)
               : "l"(__cvta_generic_to_global(p)));
  return v;
}
ACCEL_DEVICE accel_u32x4 accel_load_stream(const accel_u32x4* p) {
  accel_u32x4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(__cvta_generic_to_global(p)));
  return v;
}

/* --- atomics --------------------------------------------------------------------------------------
 * Relaxed. Generic addresses: shared memory too, except for the acquire and release accesses. */

template <typename T>
ACCEL_DEVICE T accel_atomic_add(T* p, T v) {
  return atomicAdd(p, v);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_min(T* p, T v) {
  return atomicMin(p, v);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_max(T* p, T v) {
  return atomicMax(p, v);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_or(T* p, T v) {
  return atomicOr(p, v);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_exchange(T* p, T v) {
  return atomicExch(p, v);
}
template <typename T>
ACCEL_DEVICE T accel_atomic_cas(T* p, T expected, T desired) {
  return atomicCAS(p, expected, desired);
}

#define ACCEL_ORDERED_ACCESS(suffix, scope)                                            \
  ACCEL_DEVICE accel_u32 accel_load_acquire##suffix(const accel_u32* p) {              \
    accel_u32 v;                                                                       \
    asm volatile("ld.acquire." scope ".global.u32 %0, [%1];"                           \
                 : "=r"(v)                                                             \
                 : "l"(__cvta_generic_to_global(p))                                    \
                 : "memory");                                                          \
    return v;                                                                          \
  }                                                                                    \
  ACCEL_DEVICE accel_u64 accel_load_acquire##suffix(const accel_u64* p) {              \
    accel_u64 v;                                                                       \
    asm volatile("ld.acquire." scope ".global.u64 %0, [%1];"                           \
                 : "=l"(v)                                                             \
                 : "l"(__cvta_generic_to_global(p))                                    \
                 : "memory");                                                          \
    return v;                                                                          \
  }                                                                                    \
  ACCEL_DEVICE void accel_store_release##suffix(accel_u32* p, accel_u32 v) {           \
    asm volatile("st.release." scope ".global.u32 [%0], %1;" ::"l"(                    \
                     __cvta_generic_to_global(p)),                                     \
                 "r"(v)                                                                \
                 : "memory");                                                          \
  }                                                                                    \
  ACCEL_DEVICE void accel_store_release##suffix(accel_u64* p, accel_u64 v) {           \
    asm volatile("st.release." scope ".global.u64 [%0], %1;" ::"l"(                    \
                     __cvta_generic_to_global(p)),                                     \
                 "l"(v)                                                                \
                 : "memory");                                                          \
  }
ACCEL_ORDERED_ACCESS(, "gpu")
ACCEL_ORDERED_ACCESS(_system, "sys")
#undef ACCEL_ORDERED_ACCESS

/* --- arithmetic ----------------------------------------------------------------------------------- */

ACCEL_DEVICE accel_u32 accel_popc(accel_u32 v) { return (accel_u32)__popc(v); }
ACCEL_DEVICE accel_u32 accel_popc(accel_u64 v) { return (accel_u32)__popcll(v); }
ACCEL_DEVICE accel_u32 accel_clz(accel_u32 v) { return (accel_u32)__clz((int)v); }
ACCEL_DEVICE accel_u32 accel_clz(accel_u64 v) { return (accel_u32)__clzll((accel_i64)v); }
ACCEL_DEVICE accel_u32 accel_ffs(accel_u32 v) { return (accel_u32)__ffs((int)v); }
ACCEL_DEVICE accel_u32 accel_ffs(accel_u64 v) { return (accel_u32)__ffsll((accel_i64)v); }
ACCEL_DEVICE accel_u32 accel_mul_high(accel_u32 a, accel_u32 b) { return __umulhi(a, b); }
ACCEL_DEVICE accel_u64 accel_mul_high(accel_u64 a, accel_u64 b) { return __umul64hi(a, b); }
ACCEL_DEVICE accel_u32 accel_byte_permute(accel_u32 a, accel_u32 b, accel_u32 selector) {
  return __byte_perm(a, b, selector);
}
ACCEL_DEVICE float accel_fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
ACCEL_DEVICE float accel_rint(float x) { return rintf(x); }

/* --- time ------------------------------------------------------------------------------------------ */

ACCEL_DEVICE void accel_nanosleep(accel_u32 nanoseconds) { __nanosleep(nanoseconds); }
ACCEL_DEVICE accel_u64 accel_globaltimer() {
  accel_u64 now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

#endif
