// One pool of worker threads for splitting a piece of work, shared by all streams.
//
//   parallel_for(n, grain, [&](std::size_t begin, std::size_t end) { ... });
//
// calls the body on disjoint ranges that cover [0, n) and returns when all are done. The calling
// thread takes part. Ranges are multiples of `grain` (but for the last); n <= grain, one thread, or
// a call from within a body runs on the calling thread alone, without any synchronisation. The
// first exception is rethrown after all ranges ended. Use a grain worth at least some 10 us of
// work: for copies kCopyGrain bytes.
#pragma once

#include <cstddef>

namespace accel_cpu {

// ACCEL_CPU_THREADS, or the processors this process may run on. At least 1.
int thread_count();

constexpr std::size_t kCopyGrain = std::size_t{256} << 10;

namespace detail {
using RangeBody = void (*)(void* context, std::size_t begin, std::size_t end);
void parallel_for(std::size_t n, std::size_t grain, RangeBody body, void* context);
}  // namespace detail

template <class F>
void parallel_for(std::size_t n, std::size_t grain, F&& body) {
  if (n == 0) return;
  if (n <= grain || thread_count() == 1) {
    body(std::size_t{0}, n);
    return;
  }
  auto* context = &body;
  detail::parallel_for(
      n, grain,
      [](void* c, std::size_t begin, std::size_t end) {
        (*static_cast<decltype(context)>(c))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(context)));
}

}  // namespace accel_cpu
