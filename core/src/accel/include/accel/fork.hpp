// Process-wide facts about forks. Each library that includes this has its own (hidden) state.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <mutex>

namespace accel {

namespace detail {

struct ForkHandlers {
  static constexpr std::size_t kMost = 16;  // a fixed set of callers, each once
  std::atomic<unsigned> generation{0};
  void (*in_child[kMost])() = {};
  std::atomic<std::size_t> count{0};
  void (*before)() = nullptr;
  void (*after)(bool in_child) = nullptr;
  std::mutex mutex;
};

inline ForkHandlers& fork_handlers() {
  static auto* only = new ForkHandlers;  // outlives static destructors
  return *only;
}

inline void install_fork_handlers() {
  static const int installed = pthread_atfork(
      [] {
        if (fork_handlers().before != nullptr) fork_handlers().before();
      },
      [] {
        if (fork_handlers().after != nullptr) fork_handlers().after(false);
      },
      [] {
        ForkHandlers& all = fork_handlers();
        all.generation.fetch_add(1, std::memory_order_relaxed);
        if (all.after != nullptr) all.after(true);
        for (std::size_t i = 0; i < all.count.load(); ++i) all.in_child[i]();
      });
  (void)installed;
}

}  // namespace detail

// Counts the forks between the program's start and this process. Threads do not survive a fork, so
// whatever depends on one remembers the generation it was made in and refuses to block in another.
inline unsigned fork_generation() {
  return detail::fork_handlers().generation.load(std::memory_order_relaxed);
}

// Called in the child of every fork, in order of registration, on its only thread.
inline void at_fork_child(void (*handler)()) {
  detail::install_fork_handlers();
  auto& all = detail::fork_handlers();
  std::lock_guard<std::mutex> lock(all.mutex);
  const std::size_t slot = all.count.load();
  if (slot == detail::ForkHandlers::kMost) std::abort();
  all.in_child[slot] = handler;
  all.count.store(slot + 1);
}

// Called before every fork, and after it in the parent (`in_child` false) and in the child: to hold
// a lock over the fork, so that the child finds what it guards whole.
inline void around_fork(void (*before)(), void (*after)(bool in_child)) {
  detail::install_fork_handlers();
  auto& all = detail::fork_handlers();
  if (all.before != nullptr) std::abort();
  all.before = before;
  all.after = after;
}

}  // namespace accel
