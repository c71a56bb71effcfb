// Global and shared memory whose ends are guarded.
#pragma once

#include <signal.h>

#include <cstdint>
#include <string>

namespace accel_shim {

// `bytes` of memory that end where nothing may be touched: at a page without access, or at the red
// zone of the address sanitizer.
class SharedMemory {
 public:
  ~SharedMemory();
  void allocate(std::uint64_t bytes);
  unsigned char* begin() const { return begin_; }
  unsigned char* end() const { return begin_ + bytes_; }

 private:
  unsigned char* begin_ = nullptr;
  std::uint64_t bytes_ = 0;
};

// What buffer `address` is in, or near; for messages.
std::string describe_address(const void* address);

// Which buffer's guard bytes have been overwritten; empty when none.
std::string damaged_guard();

// SIGSEGV, SIGBUS and SIGFPE go to `handler`, on a stack of its own; not under the address sanitizer,
// which reports more. Puts everything back.
class SignalGuard {
 public:
  explicit SignalGuard(void (*handler)(int, siginfo_t*, void*));
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

 private:
  struct sigaction before_[3];
  stack_t stack_before_;
  unsigned char* stack_ = nullptr;
};

}  // namespace accel_shim
