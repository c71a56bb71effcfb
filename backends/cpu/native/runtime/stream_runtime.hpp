// What all streams of the process share: the registry, the permits, and waiting that cannot
// deadlock.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "permits.hpp"
#include "signal.hpp"
#include "stream.hpp"
#include "stream_core.hpp"

namespace accel_cpu {

class StreamRuntime {
 public:
  StreamRuntime();

  std::shared_ptr<Stream> default_stream;
  Permits permits;

  std::shared_ptr<Stream> create(int priority);
  std::shared_ptr<Stream> find(std::uint64_t handle);
  std::vector<std::shared_ptr<Stream>> all();
  void forget(std::uint64_t handle);

  void worker_started();
  void worker_ended();
  bool stopped() const { return stopped_.load(std::memory_order_acquire); }
  bool stop(std::chrono::nanoseconds limit);
  // Streams whose object is gone but whose work is not: waited for like the others.
  std::vector<std::shared_ptr<StreamCore>> cores();

 private:
  std::mutex mutex_;
  std::condition_variable workers_changed_;
  std::map<std::uint64_t, std::weak_ptr<Stream>> streams_;
  std::map<std::uint64_t, std::weak_ptr<StreamCore>> cores_;
  int workers_ = 0;
  std::atomic<bool> stopped_{false};
};

// Never destroyed, since workers outlive static destructors; a forked child gets a new one.
StreamRuntime& runtime();

// Identity of the calling thread, cheaper than std::thread::id.
const void* this_thread_token();

class PermitScope {
 public:
  explicit PermitScope(int priority) { runtime().permits.acquire(priority); }
  ~PermitScope() { runtime().permits.release(); }
};

// Marks the calling thread as running a host callback, which must not wait for streams.
class CallbackScope {
 public:
  CallbackScope();
  ~CallbackScope();

 private:
  bool before_;
};

void refuse_in_callback(const char* what);
void run_idle_hook();

// Runs what others queued on the streams that this thread has entered; true when nothing is left.
bool help_entered_streams();

// condition_variable::wait_for that understands kForever and never overflows.
template <class Ready>
bool wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                std::chrono::nanoseconds limit, Ready ready) {
  if (limit == kForever) {
    changed.wait(lock, ready);
    return true;
  }
  return changed.wait_for(lock, limit, ready);
}

// How long a thread that stands in for several streams looks at one of them.
constexpr std::chrono::nanoseconds kHelpingPoll = std::chrono::microseconds(200);

// Calls step(limit), which blocks for at most its argument and says whether what is waited for has
// happened, until it has or `limit` has passed. A thread that stands in for streams is the only one
// that runs their queues, and what it waits for may depend on them: so it runs them in between.
template <class Step>
bool wait_helping(Step step, std::chrono::nanoseconds limit = kForever) {
  const std::int64_t deadline = limit == kForever ? 0 : steady_ns() + limit.count();
  for (;;) {
    const bool nothing_left = help_entered_streams();
    std::chrono::nanoseconds part = kForever;
    if (deadline != 0) {
      part = std::chrono::nanoseconds(std::max<std::int64_t>(0, deadline - steady_ns()));
    }
    const bool last = part == std::chrono::nanoseconds(0);
    if (!nothing_left) part = std::min(part, kHelpingPoll);
    if (step(part)) return true;
    if (last) return false;
  }
}

}  // namespace accel_cpu
