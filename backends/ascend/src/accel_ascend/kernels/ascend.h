// What all kernels of this folder begin with.
#ifndef ACCEL_ASCEND_ASCEND_H
#define ACCEL_ASCEND_ASCEND_H

#include "kernel_operator.h"

#define ACCEL_KV_FN __aicore__ inline
#include <accel/kv_address.h>
#include <accel/kv_copy_args.h>
#include <accel/kv_fault_record.h>

namespace accel_ascend {

using i64 = long long;
using u64 = unsigned long long;
using u32 = unsigned int;

constexpr u32 kAligned = 32;  // bytes: of local addresses, and of what cores must not share

__aicore__ inline i64 Min(i64 a, i64 b) { return a < b ? a : b; }

// `T` at a device address, by the scalar unit, which sees what was there when the launch began.
template <class T>
__aicore__ inline T Scalar(u64 address) {
  AscendC::GlobalTensor<T> memory;
  memory.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(address), 1);
  return memory.GetValue(0);
}

// A struct of 8-byte members.
template <class T>
__aicore__ inline void LoadStruct(u64 address, T* to) {
  constexpr u32 words = sizeof(T) / sizeof(u64);
  AscendC::GlobalTensor<u64> memory;
  memory.SetGlobalBuffer(reinterpret_cast<__gm__ u64*>(address), words);
  u64* const into = reinterpret_cast<u64*>(to);
  for (u32 i = 0; i < words; ++i) into[i] = memory.GetValue(i);
}

__aicore__ inline AscendC::GlobalTensor<uint8_t> Memory(u64 address, u64 bytes) {
  AscendC::GlobalTensor<uint8_t> memory;
  memory.SetGlobalBuffer(reinterpret_cast<__gm__ uint8_t*>(address), bytes);
  return memory;
}

// Lets the pipelines of an event meet, at once.
template <AscendC::HardEvent event>
__aicore__ inline void Meet() {
  const AscendC::TEventID id = AscendC::GetTPipePtr()->FetchEventID<event>();
  AscendC::SetFlag<event>(id);
  AscendC::WaitFlag<event>(id);
}

}  // namespace accel_ascend

#endif
