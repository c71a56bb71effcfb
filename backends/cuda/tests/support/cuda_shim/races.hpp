// What ThreadSanitizer is told: which fiber runs, and which accesses order others. Its functions do
// nothing without it. The shim itself is compiled without instrumentation (harness.py): its own
// bookkeeping is none of the kernel's memory.
#pragma once

#include <cstddef>

#if defined(ACCEL_SHIM_RACES)

extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
}

namespace accel_shim {

constexpr unsigned kWithoutOrder = 1;

inline void* this_fiber() { return __tsan_get_current_fiber(); }
inline void* new_fiber() { return __tsan_create_fiber(0); }
inline void end_fiber(void* fiber) { __tsan_destroy_fiber(fiber); }
inline void run_fiber(void* fiber) { __tsan_switch_to_fiber(fiber, kWithoutOrder); }
// Everything before a release of a token comes before everything after an acquire of it.
inline void release(void* token) { __tsan_release(token); }
inline void acquire(void* token) { __tsan_acquire(token); }
// The shim's own work in a fiber: what allocators and the like touch is not the kernel's doing.
struct Unseen {
  Unseen() { __tsan_ignore_thread_begin(); }
  ~Unseen() { __tsan_ignore_thread_end(); }
};
// Accesses that count all the same, inside of one Unseen.
inline void copies(void* to, const void* from, std::size_t bytes) {
  __tsan_ignore_thread_end();
  __tsan_read_range(const_cast<void*>(from), bytes);
  __tsan_write_range(to, bytes);
  __tsan_ignore_thread_begin();
}

}  // namespace accel_shim

#else

namespace accel_shim {

inline void* this_fiber() { return nullptr; }
inline void* new_fiber() { return nullptr; }
inline void end_fiber(void*) {}
inline void run_fiber(void*) {}
inline void release(void*) {}
inline void acquire(void*) {}
struct Unseen {
  Unseen() {}
  ~Unseen() {}
};
inline void copies(void*, const void*, std::size_t) {}

}  // namespace accel_shim

#endif
