// What all kernels of this folder begin with.
#ifndef ACCEL_MLU_MLU_H
#define ACCEL_MLU_MLU_H

#include <bang.h>

#define ACCEL_KV_FN __mlu_func__
#include <accel/kv_address.h>
#include <accel/kv_copy_args.h>
#include <accel/kv_fault_record.h>

namespace accel_mlu {

using i64 = long long;
using u64 = unsigned long long;
using u8 = unsigned char;

__mlu_func__ void* At(u64 address) { return reinterpret_cast<void*>(address); }

// Scalars in NRAM. Plain accesses; the stand-in for hosts cannot see those, so it checks them here.
#ifdef ACCEL_BANG_STANDIN
using accel_bang::scalar_load;
using accel_bang::scalar_store;
#else
template <class T>
__mlu_func__ T scalar_load(const T* nram) {
  return *nram;
}
template <class T>
__mlu_func__ void scalar_store(T* nram, T value) {
  *nram = value;
}
#endif

}  // namespace accel_mlu

// kernel<<<dim, type, queue>>>(...) of a host function, and CNRT's code of the launch.
#ifdef ACCEL_BANG_STANDIN
#define ACCEL_MLU_LAUNCH(kernel, dim, type, queue, ...) \
  ::accel_bang::launch(kernel, dim, type, queue, __VA_ARGS__)
#else
#include <cnrt.h>
#define ACCEL_MLU_LAUNCH(kernel, dim, type, queue, ...)   \
  ((void)cnrtGetLastError(),                              \
   kernel<<<dim, type, queue>>>(__VA_ARGS__),             \
   static_cast<int>(cnrtGetLastError()))
#endif

#endif
