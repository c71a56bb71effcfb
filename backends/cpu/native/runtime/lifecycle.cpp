#include "lifecycle.hpp"

#include <pthread.h>

#include <cstddef>
#include <cstdlib>
#include <mutex>

namespace accel_cpu {
namespace {

// A fixed set of callers, all in this library and each once.
constexpr std::size_t kMaxHandlers = 16;
std::atomic<unsigned> generation{0};
void (*handlers[kMaxHandlers])() = {};
std::atomic<std::size_t> handler_count{0};
void (*before_fork)() = nullptr;
void (*after_fork)(bool in_child) = nullptr;

void prepare() {
  if (before_fork != nullptr) before_fork();
}

void in_parent() {
  if (after_fork != nullptr) after_fork(false);
}

void in_child() {
  generation.fetch_add(1, std::memory_order_relaxed);
  if (after_fork != nullptr) after_fork(true);
  for (std::size_t i = 0; i < handler_count.load(); ++i) handlers[i]();
}

void install() {
  static const int installed = pthread_atfork(prepare, in_parent, in_child);
  (void)installed;
}

}  // namespace

unsigned fork_generation() { return generation.load(std::memory_order_relaxed); }

void at_fork_child(void (*handler)()) {
  install();
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  const std::size_t slot = handler_count.load();
  if (slot == kMaxHandlers) std::abort();
  handlers[slot] = handler;
  handler_count.store(slot + 1);
}

void around_fork(void (*before)(), void (*after)(bool in_child)) {
  install();
  if (before_fork != nullptr) std::abort();
  before_fork = before;
  after_fork = after;
}

}  // namespace accel_cpu
