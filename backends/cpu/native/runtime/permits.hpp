// Run permits: how stream priorities take effect.
//
// There are as many permits as processors. A stream's worker holds one while it runs a task; when
// none is free, the one given back next goes to the waiting stream of the highest priority (the
// lowest number), first come first served among equals.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

namespace accel_cpu {

class Permits {
 public:
  explicit Permits(int count) : free_(count) {}
  void acquire(int priority);
  void release();

 private:
  struct Waiter {
    std::condition_variable granted;
    bool has_permit = false;
  };
  std::mutex mutex_;
  int free_;
  std::uint64_t arrivals_ = 0;
  std::map<std::pair<int, std::uint64_t>, Waiter*> waiting_;
};

}  // namespace accel_cpu
