#include "event_marks.hpp"

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "accel_sim/trace.hpp"

namespace accel_sim {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

void Mark::finish(Error error) {
  std::lock_guard<std::mutex> lock(mutex_);
  done_ = true;
  time_ns_ = now_ns();
  error_ = std::move(error);
  ready_.notify_all();
}

bool Mark::done() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return done_;
}

bool Mark::wait(int timeout_ms) const {
  std::unique_lock<std::mutex> lock(mutex_);
  if (timeout_ms < 0) {
    ready_.wait(lock, [&] { return done_; });
    return true;
  }
  return ready_.wait_until(lock, Clock::now() + std::chrono::milliseconds(timeout_ms),
                           [&] { return done_; });
}

std::uint64_t Mark::time_ns() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return time_ns_;
}

Error Mark::error() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return error_;
}

void SharedMark::publish() {
  slot_.time_ns.store(now_ns());
  // Streams of several processes may record the same event: the count never goes back.
  std::uint64_t seen = slot_.done.load();
  while (seen < generation_ && !slot_.done.compare_exchange_weak(seen, generation_)) {
  }
}

bool SharedMark::done() const { return slot_.done.load() >= generation_; }

bool SharedMark::wait(int timeout_ms) const {
  const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
  // No condition variable reaches over processes here: look often at first, then rarely.
  for (auto pause = std::chrono::microseconds(20); !done();
       pause = std::min(pause * 2, std::chrono::microseconds(1000))) {
    if (timeout_ms >= 0 && Clock::now() >= end) return false;
    if (!process_alive(owner_)) {
      throw Failure(Kind::ipc, "process " + std::to_string(owner_) +
                                   " ended before it ran the record of its event");
    }
    std::this_thread::sleep_for(pause);
  }
  return true;
}

std::uint64_t SharedMark::time_ns() const { return slot_.time_ns.load(); }

}  // namespace accel_sim
