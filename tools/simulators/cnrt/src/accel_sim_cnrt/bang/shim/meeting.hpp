// Where the cores of a cluster meet: they take turns on one NRAM, each with its own contents.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <vector>

#include "core.hpp"

namespace accel_bang {

// One core runs at a time, on a thread of its own, until it meets the others or ends.
class Meeting {
 public:
  Meeting(std::uint32_t cores, std::uint64_t seed)
      : states_(cores, State::Ready),
        nram_(cores, std::vector<std::uint8_t>(nram_bytes(), kPoison)),
        random_(seed) {
    turn_ = pick(State::Ready);
  }

  static std::size_t nram_bytes() {
    return static_cast<std::size_t>(__stop_accel_nram - __start_accel_nram);
  }

  void begin(std::uint32_t who) {
    std::unique_lock<std::mutex> lock(mutex_);
    wait_turn(lock, who);
  }

  // Throws Broken when a core that ended is missed.
  void meet(std::uint32_t who) {
    std::unique_lock<std::mutex> lock(mutex_);
    pass_on(who, State::Waiting);
    wait_turn(lock, who);
    if (missed_) broken("__sync_cluster waits for a core of the cluster that has ended");
  }

  void end(std::uint32_t who) {
    std::unique_lock<std::mutex> lock(mutex_);
    pass_on(who, State::Ended);
  }

 private:
  enum class State { Ready, Waiting, Ended };

  void wait_turn(std::unique_lock<std::mutex>& lock, std::uint32_t who) {
    changed_.wait(lock, [&] { return turn_ == who; });
    std::copy(nram_[who].begin(), nram_[who].end(), __start_accel_nram);
  }

  void pass_on(std::uint32_t who, State state) {
    nram_[who].assign(__start_accel_nram, __stop_accel_nram);
    states_[who] = state;
    turn_ = pick(State::Ready);
    if (turn_ == kNobody) {  // all that still run are here
      bool some_wait = false, some_ended = false;
      for (State& each : states_) {
        some_wait |= each == State::Waiting;
        some_ended |= each == State::Ended;
        if (each == State::Waiting) each = State::Ready;
      }
      missed_ |= some_wait && some_ended;
      turn_ = pick(State::Ready);
    }
    changed_.notify_all();
  }

  std::uint32_t pick(State state) {
    std::vector<std::uint32_t> found;
    for (std::uint32_t i = 0; i < states_.size(); ++i) {
      if (states_[i] == state) found.push_back(i);
    }
    return found.empty() ? kNobody : found[random_() % found.size()];
  }

  static constexpr std::uint32_t kNobody = ~0u;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<State> states_;
  std::vector<std::vector<std::uint8_t>> nram_;
  std::mt19937_64 random_;
  std::uint32_t turn_ = kNobody;
  bool missed_ = false;
};

inline void __sync_cluster() {
  Core& c = core();
  if (c.meeting == nullptr) broken("__sync_cluster in a Block launch, whose tasks have no cluster");
  if (!c.under_way.empty()) {
    broken("__sync_cluster with asynchronous copies under way: call __sync_io or __sync before");
  }
  ++c.phase;
  c.meeting->meet(c.index % c.cluster_cores);
}

}  // namespace accel_bang
