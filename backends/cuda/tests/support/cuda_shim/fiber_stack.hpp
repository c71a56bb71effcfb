// Fibers: as many stacks as a block has threads, and switches between them.
#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "races.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define ACCEL_SHIM_UNCHECKED __attribute__((no_sanitize("address")))
#else
#define ACCEL_SHIM_UNCHECKED
#endif

namespace accel_shim {

class FiberStacks {
 public:
  explicit FiberStacks(unsigned threads) : contexts_(threads), fakes_(threads), known_(threads) {
    memory_ = static_cast<char*>(mmap(nullptr, threads * kPitch, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (memory_ == MAP_FAILED) std::abort();
    for (unsigned i = 0; i < threads; ++i) {
      mprotect(memory_ + i * kPitch, kGuard, PROT_NONE);
      known_[i] = new_fiber();
    }
  }
  ~FiberStacks() {
    unpoison();
    for (void* fiber : known_) {
      if (!abandoned_) end_fiber(fiber);
    }
    munmap(memory_, contexts_.size() * kPitch);
  }
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  // Fresh fibers 0 to threads-1 that begin in `main`. What stood on the stacks is forgotten.
  void prepare(unsigned threads, void (*main)()) {
    unpoison();
    main_ = main;
    for (unsigned i = 0; i < threads; ++i) {
      fakes_[i] = nullptr;
      getcontext(&contexts_[i]);
      contexts_[i].uc_stack.ss_sp = stack(i);
      contexts_[i].uc_stack.ss_size = kBytes;
      contexts_[i].uc_link = nullptr;
      const auto self = reinterpret_cast<std::uintptr_t>(this);
      makecontext(&contexts_[i], reinterpret_cast<void (*)()>(&FiberStacks::begin), 2,
                  static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
    }
  }

  // Fibers will not come to their ends: they stopped in the middle of something.
  void abandon() { abandoned_ = true; }

  // From the caller's stack to a fiber; returns when a fiber leaves.
  void enter(unsigned to) {
    outer_known_ = this_fiber();
    start(&outer_fake_, stack(to), kBytes);
    run_fiber(known_[to]);
    swapcontext(&outer_, &contexts_[to]);
    finish(outer_fake_, nullptr, nullptr);
  }
  void switch_to(unsigned from, unsigned to) {
    start(&fakes_[from], stack(to), kBytes);
    run_fiber(known_[to]);
    swapcontext(&contexts_[from], &contexts_[to]);
    finish(fakes_[from], nullptr, nullptr);
  }
  [[noreturn]] void end_and_switch_to(unsigned to) {
    start(nullptr, stack(to), kBytes);
    run_fiber(known_[to]);
    setcontext(&contexts_[to]);
    std::abort();
  }
  [[noreturn]] void leave() {
    start(nullptr, outer_stack_, outer_bytes_);
    run_fiber(outer_known_);
    setcontext(&outer_);
    std::abort();
  }

 private:
  static constexpr std::size_t kGuard = 16384, kBytes = 256 * 1024, kPitch = kGuard + kBytes;

  char* stack(unsigned i) const { return memory_ + i * kPitch + kGuard; }

  static void begin(unsigned high, unsigned low) {
    auto* self = reinterpret_cast<FiberStacks*>(std::uintptr_t{high} << 32 | low);
    const void* bottom = nullptr;
    std::size_t bytes = 0;
    self->finish(nullptr, &bottom, &bytes);
    // The first fiber comes from the outer stack, and only its bounds are asked for later.
    if (self->outer_stack_ == nullptr) {
      self->outer_stack_ = bottom;
      self->outer_bytes_ = bytes;
    }
    self->main_();
    std::abort();
  }

#if defined(__SANITIZE_ADDRESS__)
  static void start(void** fake, const void* bottom, std::size_t bytes) {
    __sanitizer_start_switch_fiber(fake, bottom, bytes);
  }
  static void finish(void* fake, const void** bottom, std::size_t* bytes) {
    __sanitizer_finish_switch_fiber(fake, bottom, bytes);
  }
  // An abandoned fiber leaves its frames' red zones behind.
  void unpoison() { __asan_unpoison_memory_region(memory_, contexts_.size() * kPitch); }
#else
  static void start(void**, const void*, std::size_t) {}
  static void finish(void*, const void**, std::size_t*) {}
  void unpoison() {}
#endif

  std::vector<ucontext_t> contexts_;
  std::vector<void*> fakes_;  // the address sanitizer's stacks
  std::vector<void*> known_;  // the thread sanitizer's fibers
  void* outer_known_ = nullptr;
  bool abandoned_ = false;
  char* memory_ = nullptr;
  void (*main_)() = nullptr;
  ucontext_t outer_;
  void* outer_fake_ = nullptr;
  const void* outer_stack_ = nullptr;
  std::size_t outer_bytes_ = 0;
};

}  // namespace accel_shim
