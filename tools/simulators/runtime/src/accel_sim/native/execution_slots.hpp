// How many operations of one device run at once, and which goes next: the one of the lowest priority
// number, and among equals the one that has waited longest.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <utility>

namespace accel_sim {

class ExecutionSlots {
 public:
  explicit ExecutionSlots(int count) : free_(count) {}
  void enter(std::uint32_t priority);  // waits for its turn
  void leave();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int free_;
  std::uint64_t next_ = 0;
  std::set<std::pair<std::uint32_t, std::uint64_t>> waiting_;  // priority, order of arrival
};

// One operation's stay in a slot. Without slots it does nothing.
class SlotHold {
 public:
  SlotHold(ExecutionSlots* slots, std::uint32_t priority) : slots_(slots) {
    if (slots_) slots_->enter(priority);
  }
  ~SlotHold() {
    if (slots_) slots_->leave();
  }
  SlotHold(const SlotHold&) = delete;
  SlotHold& operator=(const SlotHold&) = delete;

 private:
  ExecutionSlots* const slots_;
};

}  // namespace accel_sim
