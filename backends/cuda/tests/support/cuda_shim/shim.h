/* The host shim's runtime: what device_host.h calls. See README.md beside this file. */
#ifndef ACCEL_SHIM_H
#define ACCEL_SHIM_H

#include <cstdint>
#include <cstring>

namespace accel_shim {

/* Of the thread that runs; a switch changes it, so it is never kept over a call into the shim. */
struct Here {
  unsigned thread, threads;
  unsigned block[3], grid[3];
};
extern Here here;

/* Waits until every thread of the block that has not ended is here, at this line. */
void sync_threads(const char* file, int line);

/* Waits until all 32 threads of the group are here, at this line with this operation; what each has
 * brought. It stands until this thread meets its group again. */
const std::uint64_t* meet(const char* operation, std::uint64_t value, const char* file, int line);

/* Lets other threads run. Threads that do nothing else for very long have failed. */
void yield(const char* file, int line);
/* The same, now and then: different threads come first in different runs. */
void maybe_yield();
void fence();
std::uint64_t noise();

/* Copies in the background: those of a thread come in batches that commit() closes; bulk loads
 * count towards the barrier at `barrier`. */
enum class Engine { kThread, kBulkStore, kBulkLoad };
void issue(Engine engine, void* to, const void* from, unsigned bytes, void* barrier);
void commit(Engine engine);
void wait_copies(Engine engine, unsigned newest);
void check_bulk(const void* a, const void* b, unsigned bytes, const char* file, int line);

void mbarrier_init(void* barrier, unsigned arrivals);
void mbarrier_arrive(void* barrier, unsigned bytes, const char* file, int line);
bool mbarrier_try(void* barrier, unsigned parity, const char* file, int line);

void* dynamic_shared();
std::uint64_t nanoseconds();
/* Ends the launch: the message gets the block and the thread. */
[[noreturn]] void fail(const char* file, int line, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

inline void check_aligned(const void* p, std::size_t alignment, const char* file, int line) {
  if (reinterpret_cast<std::uintptr_t>(p) % alignment != 0) {
    fail(file, line, "%p is not a multiple of %zu", p, alignment);
  }
}

template <typename T>
std::uint64_t pack(T v) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t), "shuffles move up to 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &v, sizeof v);
  return bits;
}
template <typename T>
T unpack(std::uint64_t bits) {
  T v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
inline std::uint32_t bits(const std::uint64_t* all) {
  std::uint32_t result = 0;
  for (unsigned i = 0; i < 32; ++i) result |= (all[i] != 0 ? 1u : 0u) << i;
  return result;
}

}  // namespace accel_shim

#endif
