#include "signal.hpp"

#include "fault.hpp"
#include "lifecycle.hpp"

namespace accel_cpu {

LocalSignal::LocalSignal() : fork_generation_(accel_cpu::fork_generation()) {}

bool LocalSignal::wait_for(std::chrono::nanoseconds limit) {
  if (done()) return true;
  if (fork_generation_ != accel_cpu::fork_generation()) {
    throw Fault(Fault::Kind::State,
                "the event was recorded before this process was forked, by work that runs in the "
                "parent only: record it again in this process");
  }
  std::unique_lock<std::mutex> lock(mutex_);
  if (limit == kForever) {
    changed_.wait(lock, [this] { return done(); });
    return true;
  }
  return changed_.wait_for(lock, limit, [this] { return done(); });
}

void LocalSignal::complete() {
  std::lock_guard<std::mutex> lock(mutex_);
  ns_.store(steady_ns(), std::memory_order_release);
  changed_.notify_all();
}

}  // namespace accel_cpu
