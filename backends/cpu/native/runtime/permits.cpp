#include "permits.hpp"

namespace accel_cpu {

void Permits::acquire(int priority) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (free_ > 0) {  // then nobody waits: release() hands permits over directly
    --free_;
    return;
  }
  Waiter self;
  waiting_.emplace(std::make_pair(priority, arrivals_++), &self);
  self.granted.wait(lock, [&] { return self.has_permit; });
}

void Permits::release() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (waiting_.empty()) {
    ++free_;
    return;
  }
  auto first = waiting_.begin();
  first->second->has_permit = true;
  first->second->granted.notify_one();  // under the lock: the waiter owns the condition variable
  waiting_.erase(first);
}

}  // namespace accel_cpu
