// The older host callbacks: a thread of the program subscribes to a stream and serves its
// callbacks.
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "accel_sim/streams.hpp"
#include "api.hpp"

#include <pthread.h>

using namespace ascendcl;

namespace {

struct Callback {
  void (*function)(void*);
  void* argument;
  std::shared_ptr<bool> served;
};

struct Reports {
  std::mutex mutex;
  std::condition_variable arrived;
  std::condition_variable served;
  std::map<const void*, std::uint64_t> threads;               // stream -> serving thread
  std::map<std::uint64_t, std::deque<Callback>> waiting;      // thread -> callbacks
};

Reports& reports() {
  static Reports* const one = new Reports;
  return *one;
}

std::uint64_t this_thread() { return static_cast<std::uint64_t>(pthread_self()); }

}  // namespace

ACL_EXPORT int aclrtSubscribeReport(std::uint64_t thread, void* stream) {
  return guarded("aclrtSubscribeReport", [&] {
    accel_sim::Stream& known = accel_sim::stream_of(stream);
    Reports& all = reports();
    std::lock_guard<std::mutex> lock(all.mutex);
    if (!all.threads.emplace(&known, thread).second) {
      throw Failure(100033, "the stream is served by a thread already");
    }
    all.waiting[thread];
  });
}

ACL_EXPORT int aclrtUnSubscribeReport(std::uint64_t thread, void* stream) {
  return guarded("aclrtUnSubscribeReport", [&] {
    accel_sim::Stream& known = accel_sim::stream_of(stream);
    Reports& all = reports();
    std::lock_guard<std::mutex> lock(all.mutex);
    auto found = all.threads.find(&known);
    if (found == all.threads.end() || found->second != thread) {
      throw Failure(Kind::not_subscribed, "the thread does not serve the stream");
    }
    all.threads.erase(found);
  });
}

ACL_EXPORT int aclrtLaunchCallback(void (*function)(void*), void* argument, int block,
                                   void* stream) {
  return guarded("aclrtLaunchCallback", [&] {
    if (!function) throw Failure(kInvalidParameter, "fn is a null pointer");
    accel_sim::Stream& known = accel_sim::stream_of(stream);
    Reports& all = reports();
    std::uint64_t thread = 0;
    {
      std::lock_guard<std::mutex> lock(all.mutex);
      auto found = all.threads.find(&known);
      if (found == all.threads.end()) {
        throw Failure(Kind::not_subscribed, "no thread serves the callbacks of the stream");
      }
      thread = found->second;
    }
    accel_sim::submit(known, {"aclrtLaunchCallback", [=, &all] {
                                auto served = std::make_shared<bool>(false);
                                std::unique_lock<std::mutex> lock(all.mutex);
                                all.waiting[thread].push_back({function, argument, served});
                                all.arrived.notify_all();
                                if (block) all.served.wait(lock, [&] { return *served; });
                              }});
  });
}

ACL_EXPORT int aclrtProcessReport(std::int32_t timeout) {
  return guarded("aclrtProcessReport", [&] {
    Reports& all = reports();
    std::unique_lock<std::mutex> lock(all.mutex);
    auto mine = all.waiting.find(this_thread());
    if (mine == all.waiting.end()) {
      throw Failure(kNotSubscribedThread, "this thread serves no stream");
    }
    const auto ready = [&] { return !mine->second.empty(); };
    if (timeout < 0) {
      all.arrived.wait(lock, ready);
    } else if (!all.arrived.wait_for(lock, std::chrono::milliseconds(timeout), ready)) {
      throw Failure(kReportTimeout, "no callback within " + std::to_string(timeout) + " ms");
    }
    const Callback callback = mine->second.front();
    mine->second.pop_front();
    lock.unlock();
    callback.function(callback.argument);
    lock.lock();
    *callback.served = true;
    all.served.notify_all();
  });
}
