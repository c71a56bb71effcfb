/* async_copy.h on the host shim: a copy is done when it is issued or as late as the waits allow, by
 * lot; so a wait that is missing shows as a wrong result under some seed. Alignment is checked, and
 * that no block ends while a copy is under way. */
#ifndef ACCEL_CUDA_ASYNC_COPY_HOST_H
#define ACCEL_CUDA_ASYNC_COPY_HOST_H

#define ACCEL_HAS_ASYNC_COPY 1
#define ACCEL_HAS_BULK_COPY 1

template <unsigned Bytes>
ACCEL_DEVICE void accel_async_copy(void* shared, const void* global, ACCEL_SHIM_WHERE) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  accel_shim::check_aligned(shared, Bytes, file, line);
  accel_shim::check_aligned(global, Bytes, file, line);
  accel_shim::issue(accel_shim::Engine::kThread, shared, global, Bytes, nullptr);
}
ACCEL_DEVICE void accel_async_commit() { accel_shim::commit(accel_shim::Engine::kThread); }
template <unsigned Newest>
ACCEL_DEVICE void accel_async_wait() {
  accel_shim::wait_copies(accel_shim::Engine::kThread, Newest);
}

ACCEL_DEVICE void accel_mbarrier_init(accel_mbarrier* barrier, accel_u32 arrivals) {
  accel_shim::mbarrier_init(&barrier->word, arrivals);
}
ACCEL_DEVICE void accel_mbarrier_fence() {}
ACCEL_DEVICE void accel_mbarrier_arrive(accel_mbarrier* barrier, ACCEL_SHIM_WHERE) {
  accel_shim::mbarrier_arrive(&barrier->word, 0, file, line);
}
ACCEL_DEVICE void accel_mbarrier_arrive_expect(accel_mbarrier* barrier, accel_u32 bytes,
                                               ACCEL_SHIM_WHERE) {
  accel_shim::mbarrier_arrive(&barrier->word, bytes, file, line);
}
ACCEL_DEVICE bool accel_mbarrier_try(accel_mbarrier* barrier, accel_u32 parity, ACCEL_SHIM_WHERE) {
  return accel_shim::mbarrier_try(&barrier->word, parity, file, line);
}
ACCEL_DEVICE void accel_mbarrier_wait(accel_mbarrier* barrier, accel_u32 parity, ACCEL_SHIM_WHERE) {
  while (!accel_mbarrier_try(barrier, parity, file, line)) {
  }
}

ACCEL_DEVICE void accel_bulk_load(void* shared, const void* global, accel_u32 bytes,
                                  accel_mbarrier* barrier, ACCEL_SHIM_WHERE) {
  accel_shim::check_bulk(shared, global, bytes, file, line);
  accel_shim::issue(accel_shim::Engine::kBulkLoad, shared, global, bytes, &barrier->word);
}
ACCEL_DEVICE void accel_bulk_store(void* global, const void* shared, accel_u32 bytes,
                                   ACCEL_SHIM_WHERE) {
  accel_shim::check_bulk(global, shared, bytes, file, line);
  accel_shim::issue(accel_shim::Engine::kBulkStore, global, shared, bytes, nullptr);
}
ACCEL_DEVICE void accel_bulk_commit() { accel_shim::commit(accel_shim::Engine::kBulkStore); }
template <unsigned Newest>
ACCEL_DEVICE void accel_bulk_wait_read() {
  accel_shim::wait_copies(accel_shim::Engine::kBulkStore, Newest);
}
template <unsigned Newest>
ACCEL_DEVICE void accel_bulk_wait() {
  accel_shim::wait_copies(accel_shim::Engine::kBulkStore, Newest);
}
ACCEL_DEVICE void accel_fence_async_shared() {}

#endif
