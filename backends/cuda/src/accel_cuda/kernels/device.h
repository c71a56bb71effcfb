/* What kernels are written with, for CUDA (NVRTC, nvcc), HIP (hiprtc, clang) and the host shim.
 *
 * Kernel sources are C++17 and include this header, their own `<family>_args.h` and core's
 * headers of KV arithmetic, nothing else: NVRTC has no other headers. Blocks are one-dimensional; grids have up
 * to three dimensions. Warp code is written against groups of 32 threads with consecutive indices:
 * a warp on CUDA, a wave or half of one on HIP. All 32 threads of a group call a group function
 * together, from the same line; a block that uses groups has a multiple of 32 threads.
 *
 *   #include "device.h"
 *   #include "scale_args.h"   // struct scale_args { accel_u64 in, out; accel_u64 count; ... };
 *
 *   ACCEL_KERNEL(scale_f32, scale_args, args) {       // extern "C" __global__, one struct by value
 *     ACCEL_SHARED float tile[32];                    // in the kernel's own body, not in templates
 *     ...
 *   }
 *   ACCEL_KERNEL_BOUNDS(256, 4, scale_wide, scale_args, args) {...}   // __launch_bounds__(256, 4)
 *
 * Every target provides (device_cuda.h, device_hip.h; the shim's device_host.h):
 *
 *   accel_thread() accel_threads()            index in the block, size of the block
 *   accel_block_x/y/z() accel_grid_x/y/z()    index of the block, size of the grid
 *   accel_lane() accel_group()                index in the group, index of the group in the block
 *   accel_sync_threads() accel_sync_group()   barriers; both order memory among their threads
 *   accel_ballot(p) accel_any(p) accel_all(p)           over the group; bit i is lane i
 *   accel_shuffle(v, lane) _up _down _xor     u32, i32, float, u64; up/down keep v past the edge
 *   accel_load(p) accel_store(p, v)           as wide as the type: u8 u16 u32 u32x2 u32x4
 *   accel_load_stream(p)                      read once: past L1, read-only for the whole kernel
 *   accel_atomic_add/min/max/or/exchange(p, v), accel_atomic_cas(p, expected, desired)
 *                                             u32 and u64, relaxed, for the device; return the old
 *   accel_load_acquire(p) accel_store_release(p, v), and _system: u32 and u64
 *   accel_fence_block() accel_fence_device() accel_fence_system()
 *   accel_popc accel_clz accel_ffs            u32 and u64; clz(0) is the width, ffs counts from 1
 *   accel_mul_high(a, b)                      u32 and u64
 *   accel_byte_permute(a, b, selector)        four bytes out of eight, nibble by nibble
 *   accel_funnel_right(low, high, shift)      the low word of high:low >> (shift & 31)
 *   accel_fma(a, b, c) accel_rint(x)          fused only here; to nearest, ties to even
 *   accel_nanosleep(ns) accel_globaltimer()   nanoseconds
 *   ACCEL_DYNAMIC_SHARED(type, name)          `type* name`: the launch's shared bytes, 128-aligned
 *   async_copy.h                              copies to shared memory in the background
 */
#ifndef ACCEL_CUDA_DEVICE_H
#define ACCEL_CUDA_DEVICE_H

typedef unsigned char accel_u8;
typedef unsigned short accel_u16;
typedef unsigned int accel_u32;
typedef unsigned long long accel_u64;
typedef int accel_i32;
typedef long long accel_i64;

struct alignas(8) accel_u32x2 {
  accel_u32 x, y;
};
struct alignas(16) accel_u32x4 {
  accel_u32 x, y, z, w;
};

enum : unsigned { ACCEL_GROUP_SIZE = 32 };

#if defined(ACCEL_HOST_SHIM)
#include "device_host.h"
#elif defined(__HIP__) || defined(__HIPCC_RTC__)
#include "device_hip.h"
#elif defined(__CUDACC__) || defined(__CUDACC_RTC__)
#include "device_cuda.h"
#else
#error "kernels are compiled by NVRTC, nvcc, hiprtc or hipcc, or for the host with -DACCEL_HOST_SHIM"
#endif

/* Core's headers, if a kernel includes them after this one, become device functions. */
#define ACCEL_KV_FN ACCEL_DEVICE
#define ACCEL_NUMBER_FN ACCEL_DEVICE
#define ACCEL_CODEC_FN ACCEL_DEVICE

/* The unsigned type or vector of so many bytes: 1, 2, 4, 8 or 16. */
template <unsigned Bytes>
struct accel_vector_of;
template <>
struct accel_vector_of<1> {
  typedef accel_u8 type;
};
template <>
struct accel_vector_of<2> {
  typedef accel_u16 type;
};
template <>
struct accel_vector_of<4> {
  typedef accel_u32 type;
};
template <>
struct accel_vector_of<8> {
  typedef accel_u32x2 type;
};
template <>
struct accel_vector_of<16> {
  typedef accel_u32x4 type;
};
template <unsigned Bytes>
using accel_vector = typename accel_vector_of<Bytes>::type;

/* Kernel arguments and tables hold addresses as integers. */
template <typename T>
ACCEL_DEVICE T* accel_pointer(accel_u64 address) {
  return reinterpret_cast<T*>(address);
}

template <typename T>
ACCEL_DEVICE T accel_min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
ACCEL_DEVICE T accel_max(T a, T b) {
  return a < b ? b : a;
}

ACCEL_DEVICE accel_u32 accel_funnel_right(accel_u32 low, accel_u32 high, accel_u32 shift) {
  return (accel_u32)(((accel_u64)high << 32 | low) >> (shift & 31u));
}

/* Lanes below this one. */
ACCEL_DEVICE accel_u32 accel_lanes_below() { return (1u << accel_lane()) - 1u; }

#endif
