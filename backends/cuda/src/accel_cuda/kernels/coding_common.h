/* What the kernels of the entropy coder share: findings, sums over a block, bytes at any address. */
#ifndef ACCEL_CUDA_CODING_COMMON_H
#define ACCEL_CUDA_CODING_COMMON_H

#include "device.h"

#include "coding_args.h"
#include "coding_findings.h"
#include "fault.h"

ACCEL_DEVICE coding_state* coding_state_of(accel_u64 address) {
  return accel_pointer<coding_state>(address);
}

ACCEL_DEVICE void coding_report(accel_u64 state, accel_u32 kind, accel_u64 where) {
  accel_atomic_max(&coding_state_of(state)->finding, (accel_u64)~CODING_KEY(kind, where));
}

/* The first finding of all, once nobody reports any more. */
ACCEL_DEVICE accel_u64 coding_first_finding(accel_u64 state) {
  return ~accel_atomic_or(&coding_state_of(state)->finding, (accel_u64)0);
}

/* Tells the host of a finding at its next synchronisation with the stream. One thread. */
ACCEL_DEVICE void coding_tell(accel_u64 fault, accel_u64 key, accel_u32 bins, accel_u64 a = 0,
                              accel_u64 b = 0, accel_u64 c = 0) {
  AccelFaultRecord* const record = accel_pointer<AccelFaultRecord>(fault);
  if (!accel_claim_fault(record)) return;
  record->kind = ACCEL_FAULT_CODEC;
  record->argument = ACCEL_FAULT_ARG_DATA;
  record->index = (accel_i64)CODING_KEY_KIND(key);
  record->position = (accel_i64)CODING_KEY_WHERE(key);
  record->limit = (accel_i64)bins;
  record->unused[0] = (accel_i64)a;
  record->unused[1] = (accel_i64)b;
  record->unused[2] = (accel_i64)c;
  accel_publish_fault(record);
}

/* True in every thread of the block that is the last to come here; whatever the others wrote before
 * is to be seen. `word` is shared memory. All threads of all blocks. */
ACCEL_DEVICE bool coding_is_last_block(accel_u64 state, accel_u32* word) {
  accel_sync_threads();
  if (accel_thread() == 0) {
    accel_fence_device();
    *word = accel_atomic_add(&coding_state_of(state)->done, 1u) + 1 == accel_grid_x();
    accel_fence_device();
  }
  accel_sync_threads();
  return *word != 0;
}

/* The group's index as a value that is plainly the same in all its threads: what depends on it needs
 * no care for threads that come apart. */
ACCEL_DEVICE accel_u32 coding_group() { return accel_shuffle(accel_group(), 0u); }

/* The same of a value that all threads of a group have read. */
template <typename T>
ACCEL_DEVICE T coding_uniform(T v) {
  return accel_shuffle(v, 0u);
}

/* The sum over the block, in thread 0. `partial` is shared memory, a word a group. */
ACCEL_DEVICE accel_u32 coding_block_sum(accel_u32 v, accel_u32* partial) {
  for (accel_u32 by = 16; by != 0; by /= 2) v += accel_shuffle_xor(v, by);
  accel_sync_threads();
  if (accel_lane() == 0) partial[accel_group()] = v;
  accel_sync_threads();
  if (accel_thread() != 0) return 0;
  for (accel_u32 i = 1; i < accel_threads() / 32; ++i) v += partial[i];
  return v;
}

/* Writes a byte of device memory where `wanted`. On CUDA without a branch, at which a group would come apart,
 * and free to change places with accesses to shared memory: nothing in the kernel reads it back. */
ACCEL_DEVICE void coding_store_byte_if(bool wanted, accel_u64 to, accel_u32 byte) {
#if defined(__CUDA_ARCH__)
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p st.global.u8 [%0], %1; }" ::"l"(to),
               "r"(byte), "r"((accel_u32)wanted));
#else
  if (wanted) *accel_pointer<accel_u8>(to) = (accel_u8)byte;
#endif
}

/* Little-endian numbers at any address: tensors of bytes may begin anywhere. */
ACCEL_DEVICE accel_u32 coding_load_unit(accel_u64 address) {
  if ((address & 3) == 0) return accel_load(accel_pointer<const accel_u32>(address));
  const accel_u8* const p = accel_pointer<const accel_u8>(address);
  return p[0] | (accel_u32)p[1] << 8 | (accel_u32)p[2] << 16 | (accel_u32)p[3] << 24;
}

ACCEL_DEVICE void coding_store_unit(accel_u64 address, accel_u32 v) {
  if ((address & 3) == 0) return accel_store(accel_pointer<accel_u32>(address), v);
  accel_u8* const p = accel_pointer<accel_u8>(address);
  for (accel_u32 i = 0; i < 4; ++i) p[i] = (accel_u8)(v >> 8 * i);
}

#endif
