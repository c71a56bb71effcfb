// How far a stream has got, by events that are recorded only when somebody asks.
//
// Places are counted as work is given to the stream; that costs nothing. The first question about a
// place records an event behind all work that the stream has by then, so the stream must still be
// there: for streams that are never destroyed, as those of torch's pools.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>

#include "fork.hpp"
#include "stream_point.hpp"

namespace accel {

class StreamMarks : public StreamProgress {
 public:
  // All work given so far is before the place; the work has been given already.
  std::uint64_t next() {
    std::lock_guard<std::mutex> lock(mutex_);
    return ++given_;
  }

  // The same, with the event recorded at once: later work is not waited for either.
  std::uint64_t next_exact() {
    std::lock_guard<std::mutex> lock(mutex_);
    const std::uint64_t place = ++given_;
    if (void* const event = record()) {
      marks_.push_back({place, event});
      collect();
    } else {
      passed_ = place;  // the device takes no more work
    }
    return place;
  }

  std::uint64_t given() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return given_;
  }

  // The host has waited for all that `given` told of.
  void pass(std::uint64_t place) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (passed_ < place) passed_ = place;
    collect();
  }

  bool reached(std::uint64_t place) const override {
    if (fork_generation() != generation_) return true;  // that stream runs in the parent
    std::lock_guard<std::mutex> lock(mutex_);
    if (passed_ >= place) return true;
    collect();
    if (passed_ >= place) return true;
    if (marks_.empty() || marks_.back().place < place) {
      void* const event = record();
      // Where no event can be recorded the device takes no more work, and runs none.
      if (event == nullptr) return true;
      marks_.push_back({given_, event});
      collect();
    }
    return passed_ >= place;
  }

 protected:
  // Any thread may call these, one at a time. None may throw. `record` gives null when it failed,
  // and a failed event is complete.
  virtual void* record() const = 0;
  virtual bool complete(void* event) const = 0;
  virtual void release(void* event) const = 0;

 private:
  struct Mark {
    std::uint64_t place;
    void* event;
  };

  void collect() const {
    while (!marks_.empty() && complete(marks_.front().event)) {
      if (passed_ < marks_.front().place) passed_ = marks_.front().place;
      release(marks_.front().event);
      marks_.pop_front();
    }
  }

  const unsigned generation_ = fork_generation();
  mutable std::mutex mutex_;
  mutable std::deque<Mark> marks_;
  mutable std::uint64_t passed_ = 0;
  std::uint64_t given_ = 0;
};

}  // namespace accel
