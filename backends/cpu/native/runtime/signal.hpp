// A one-shot completion: what recording an event makes and what waits wait for.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace accel_cpu {

inline std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

constexpr std::chrono::nanoseconds kForever = std::chrono::nanoseconds::max();

class Signal {
 public:
  virtual ~Signal() = default;
  virtual bool done() const = 0;
  // Blocks for at most `limit`; true when done. Throws Fault when it can never complete.
  virtual bool wait_for(std::chrono::nanoseconds limit) = 0;
  // Completion time on the steady clock; 0 while not done.
  virtual std::int64_t completed_ns() const = 0;
  virtual void complete() = 0;
};

// Within this process.
class LocalSignal : public Signal {
 public:
  LocalSignal();
  bool done() const override { return ns_.load(std::memory_order_acquire) != 0; }
  bool wait_for(std::chrono::nanoseconds limit) override;
  std::int64_t completed_ns() const override { return ns_.load(std::memory_order_acquire); }
  void complete() override;

 private:
  std::atomic<std::int64_t> ns_{0};
  const unsigned fork_generation_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace accel_cpu
