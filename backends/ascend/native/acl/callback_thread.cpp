#include "callback_thread.hpp"

#include <accel/fork.hpp>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "error.hpp"

namespace accel_ascend {
namespace {

// How long a thread waits for callbacks before it looks whether it is to end.
constexpr std::int32_t kPollMilliseconds = 200;

class CallbackThread {
 public:
  CallbackThread(int device, StreamHandle stream) : stream_(stream) {
    thread_ = std::thread([this, device] { serve(device); });
    const Result result = acl().subscribe_report(id(), stream);
    subscribed_ = result == kSuccess;
    if (subscribed_) return;
    end();
    throw_acl_fault(result, Entry::subscribe_report);
  }
  ~CallbackThread() { end(); }
  CallbackThread(const CallbackThread&) = delete;
  CallbackThread& operator=(const CallbackThread&) = delete;

 private:
  // As aclrtSubscribeReport wants it.
  std::uint64_t id() { return static_cast<std::uint64_t>(thread_.native_handle()); }

  void serve(int device) {
    acl().set_device(device);
    while (!ending_.load()) {
      // Not yet subscribed, nothing to do within the time, a device that is lost: all the same here.
      const auto begin = std::chrono::steady_clock::now();
      if (acl().process_report(kPollMilliseconds) == kSuccess) continue;
      const auto quick = std::chrono::milliseconds(1);
      if (std::chrono::steady_clock::now() - begin < quick) std::this_thread::sleep_for(quick);
    }
  }

  void end() {
    if (subscribed_) acl().unsubscribe_report(id(), stream_);
    subscribed_ = false;
    ending_.store(true);
    if (thread_.joinable()) thread_.join();
  }

  const StreamHandle stream_;
  std::atomic<bool> ending_{false};
  bool subscribed_ = false;
  std::thread thread_;
};

struct Threads {
  std::mutex mutex;
  std::map<std::pair<int, StreamHandle>, std::unique_ptr<CallbackThread>> by_stream;
  unsigned generation = accel::fork_generation();
};

Threads& threads() {
  static auto* all = new Threads;  // of a child of this process: its parent's threads are not there
  if (all->generation != accel::fork_generation()) all = new Threads;
  return *all;
}

}  // namespace

bool can_serve_callbacks() noexcept {
  return acl().launch_callback != nullptr && acl().subscribe_report != nullptr &&
         acl().unsubscribe_report != nullptr && acl().process_report != nullptr;
}

void launch_served(StreamHandle stream, HostFunction function, void* argument) {
  std::int32_t device = 0;
  ACCEL_ACL_CALL(get_device, &device);
  Threads& all = threads();
  {
    std::lock_guard<std::mutex> lock(all.mutex);
    auto& thread = all.by_stream[{device, stream}];
    if (thread == nullptr) thread = std::make_unique<CallbackThread>(device, stream);
  }
  ACCEL_ACL_CALL(launch_callback, function, argument, kCallbackBlocks, stream);
}

void stop_serving() {
  Threads& all = threads();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.by_stream.clear();
}

}  // namespace accel_ascend
