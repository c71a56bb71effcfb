/* Copies to and from shared memory that run in the background. Include it after device.h.
 *
 * Per thread, 4, 8 or 16 bytes at a time (sm_80 and later; elsewhere done at once):
 *
 *   accel_async_copy<16>(shared, global);   // both aligned to the size
 *   accel_async_commit();                   // what was issued since the last commit is one batch
 *   accel_async_wait<1>();                  // all batches of this thread but the newest 1 are there
 *   accel_sync_threads();                   // ... and other threads may read them
 *
 * In bulk, by one thread (sm_90 and later; elsewhere that thread copies, slowly: ask
 * ACCEL_HAS_BULK_COPY for another way). Addresses and sizes are multiples of 16 bytes.
 *
 *   ACCEL_SHARED accel_mbarrier full;                  // one per stage
 *   if (thread == 0) accel_mbarrier_init(&full, 1);    // one arrival completes a phase
 *   accel_mbarrier_fence(); accel_sync_threads();
 *   if (thread == 0) {
 *     accel_mbarrier_arrive_expect(&full, bytes);      // ... and so many bytes
 *     accel_bulk_load(shared, global, bytes, &full);
 *   }
 *   accel_mbarrier_wait(&full, phase & 1);             // phases count from 0
 *
 *   accel_fence_async_shared(); accel_sync_threads();  // after ordinary stores to shared memory
 *   if (thread == 0) {
 *     accel_bulk_store(global, shared, bytes);
 *     accel_bulk_commit();
 *     accel_bulk_wait_read<0>();  // shared memory may be written again: needed before a block ends
 *   }
 */
#ifndef ACCEL_CUDA_ASYNC_COPY_H
#define ACCEL_CUDA_ASYNC_COPY_H

struct alignas(8) accel_mbarrier {
  accel_u64 word;
};

#if defined(ACCEL_HOST_SHIM)
#include "async_copy_host.h"
#else

#if ACCEL_CUDA_ARCH >= 800
#define ACCEL_HAS_ASYNC_COPY 1
#else
#define ACCEL_HAS_ASYNC_COPY 0
#endif
#if ACCEL_CUDA_ARCH >= 900
#define ACCEL_HAS_BULK_COPY 1
#else
#define ACCEL_HAS_BULK_COPY 0
#endif

#if ACCEL_HAS_ASYNC_COPY

ACCEL_DEVICE accel_u32 accel_shared_address(const void* shared) {
  return (accel_u32)__cvta_generic_to_shared(shared);
}

template <unsigned Bytes>
ACCEL_DEVICE void accel_async_copy(void* shared, const void* global) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  if (Bytes == 16) { /* past L1 */
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(accel_shared_address(shared)),
                 "l"(__cvta_generic_to_global(global))
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(accel_shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "n"(Bytes == 16 ? 8 : Bytes)
                 : "memory");
  }
}
ACCEL_DEVICE void accel_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <unsigned Newest>
ACCEL_DEVICE void accel_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Newest) : "memory");
}

#else

template <unsigned Bytes>
ACCEL_DEVICE void accel_async_copy(void* shared, const void* global) {
  typedef accel_vector<Bytes> vector;
  *static_cast<vector*>(shared) = accel_load_stream(static_cast<const vector*>(global));
}
ACCEL_DEVICE void accel_async_commit() {}
template <unsigned Newest>
ACCEL_DEVICE void accel_async_wait() {}

#endif

#if ACCEL_HAS_BULK_COPY

ACCEL_DEVICE void accel_mbarrier_init(accel_mbarrier* barrier, accel_u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(accel_shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}
/* By the thread that has initialised barriers, before the others learn of them. */
ACCEL_DEVICE void accel_mbarrier_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
ACCEL_DEVICE void accel_mbarrier_arrive(accel_mbarrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(accel_shared_address(barrier))
               : "memory");
}
ACCEL_DEVICE void accel_mbarrier_arrive_expect(accel_mbarrier* barrier, accel_u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                   accel_shared_address(barrier)),
               "r"(bytes)
               : "memory");
}
/* Whether the phase of this parity is over; may wait a little. */
ACCEL_DEVICE bool accel_mbarrier_try(accel_mbarrier* barrier, accel_u32 parity) {
  accel_u32 over;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n"
      "}"
      : "=r"(over)
      : "r"(accel_shared_address(barrier)), "r"(parity)
      : "memory");
  return over != 0;
}
ACCEL_DEVICE void accel_mbarrier_wait(accel_mbarrier* barrier, accel_u32 parity) {
  while (!accel_mbarrier_try(barrier, parity)) {
  }
}

ACCEL_DEVICE void accel_bulk_load(void* shared, const void* global, accel_u32 bytes,
                                  accel_mbarrier* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          accel_shared_address(shared)),
      "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(accel_shared_address(barrier))
      : "memory");
}
ACCEL_DEVICE void accel_bulk_store(void* global, const void* shared, accel_u32 bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(
                   __cvta_generic_to_global(global)),
               "r"(accel_shared_address(shared)), "r"(bytes)
               : "memory");
}
ACCEL_DEVICE void accel_bulk_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
/* All batches of stores but the newest have read their shared memory. */
template <unsigned Newest>
ACCEL_DEVICE void accel_bulk_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(Newest) : "memory");
}
/* ... and have written. */
template <unsigned Newest>
ACCEL_DEVICE void accel_bulk_wait() {
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(Newest) : "memory");
}
ACCEL_DEVICE void accel_fence_async_shared() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

#else

/* A barrier of one's own: bit 63 is the parity of the phase, then bytes that are still to come, in
 * units of 16 (21 bits), arrivals of a phase (21), arrivals that are still to come (21). */
enum : accel_u64 { ACCEL_MBARRIER_MASK = (1ull << 21) - 1 };

ACCEL_DEVICE void accel_mbarrier_add(accel_mbarrier* barrier, accel_u32 arrivals, accel_u32 expected,
                                     accel_u32 complete) {
  accel_fence_block();
  accel_u64 seen = accel_atomic_or(&barrier->word, (accel_u64)0);
  for (;;) {
    const accel_u64 parity = seen >> 63, count = seen >> 21 & ACCEL_MBARRIER_MASK;
    const accel_u64 units =
        (seen >> 42 & ACCEL_MBARRIER_MASK) + (expected >> 4) - (complete >> 4);
    const accel_u64 missing = (seen & ACCEL_MBARRIER_MASK) - arrivals;
    const accel_u64 next = missing == 0 && units == 0
                               ? (parity ^ 1u) << 63 | count << 21 | count
                               : parity << 63 | units << 42 | count << 21 | missing;
    const accel_u64 old = accel_atomic_cas(&barrier->word, seen, next);
    if (old == seen) return;
    seen = old;
  }
}
ACCEL_DEVICE void accel_mbarrier_init(accel_mbarrier* barrier, accel_u32 arrivals) {
  barrier->word = (accel_u64)arrivals << 21 | arrivals;
}
ACCEL_DEVICE void accel_mbarrier_fence() { accel_fence_block(); }
ACCEL_DEVICE void accel_mbarrier_arrive(accel_mbarrier* barrier) {
  accel_mbarrier_add(barrier, 1, 0, 0);
}
ACCEL_DEVICE void accel_mbarrier_arrive_expect(accel_mbarrier* barrier, accel_u32 bytes) {
  accel_mbarrier_add(barrier, 1, bytes, 0);
}
ACCEL_DEVICE bool accel_mbarrier_try(accel_mbarrier* barrier, accel_u32 parity) {
  const bool over = accel_atomic_or(&barrier->word, (accel_u64)0) >> 63 != parity;
  if (over) accel_fence_block();
  return over;
}
ACCEL_DEVICE void accel_mbarrier_wait(accel_mbarrier* barrier, accel_u32 parity) {
  while (!accel_mbarrier_try(barrier, parity)) accel_nanosleep(20);
}

ACCEL_DEVICE void accel_bulk_copy_here(void* to, const void* from, accel_u32 bytes) {
  for (accel_u32 i = 0; i < bytes / 16; ++i) {
    static_cast<accel_u32x4*>(to)[i] = static_cast<const accel_u32x4*>(from)[i];
  }
}
ACCEL_DEVICE void accel_bulk_load(void* shared, const void* global, accel_u32 bytes,
                                  accel_mbarrier* barrier) {
  accel_bulk_copy_here(shared, global, bytes);
  accel_mbarrier_add(barrier, 0, 0, bytes);
}
ACCEL_DEVICE void accel_bulk_store(void* global, const void* shared, accel_u32 bytes) {
  accel_bulk_copy_here(global, shared, bytes);
}
ACCEL_DEVICE void accel_bulk_commit() {}
template <unsigned Newest>
ACCEL_DEVICE void accel_bulk_wait_read() {}
template <unsigned Newest>
ACCEL_DEVICE void accel_bulk_wait() {}
ACCEL_DEVICE void accel_fence_async_shared() {}

#endif
#endif
#endif
