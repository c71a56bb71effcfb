#include "execution_slots.hpp"

namespace accel_sim {

void ExecutionSlots::enter(std::uint32_t priority) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto mine = waiting_.emplace(priority, next_++).first;
  changed_.wait(lock, [&] { return free_ > 0 && waiting_.begin() == mine; });
  waiting_.erase(mine);
  if (--free_ > 0) changed_.notify_all();
}

void ExecutionSlots::leave() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++free_;
  changed_.notify_all();
}

}  // namespace accel_sim
