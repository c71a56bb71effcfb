#include "stream_progress.hpp"

#include <map>
#include <utility>

#include "capture_mode.hpp"

namespace accel_cuda {
namespace {

using Key = std::pair<const Device*, StreamHandle>;

struct Known {
  std::mutex mutex;
  std::map<Key, std::shared_ptr<DeviceProgress>> streams;  // kept for good, as streams are
};

Known& known() {
  static auto* only = new Known;
  return *only;
}

}  // namespace

std::shared_ptr<DeviceProgress> DeviceProgress::of(const Device& device, StreamHandle stream) {
  std::lock_guard<std::mutex> lock(known().mutex);
  auto& found = known().streams[Key{&device, stream}];
  if (found == nullptr) {
    found = std::make_shared<DeviceProgress>(device, stream);
    found->self_ = found;
  }
  return found;
}

accel::StreamPoint DeviceProgress::point() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!recorded_.empty()) look();
  EventHandle event = nullptr;
  if (spare_.empty()) {
    UnrelatedToCaptures unrelated;
    ACCEL_CUDA_CALL(event_create, &event, kEventDisableTiming);
  } else {
    event = spare_.back();
    spare_.pop_back();
  }
  const Result result = driver().event_record(event, stream_);
  if (result != kSuccess) {
    spare_.push_back(event);
    throw_driver_fault(result, Entry::event_record);
  }
  recorded_.push_back(event);
  return accel::StreamPoint(self_.lock(), done_.load() + recorded_.size());
}

bool DeviceProgress::reached(std::uint64_t place) const {
  if (done_.load(std::memory_order_acquire) >= place) return true;
  std::lock_guard<std::mutex> lock(mutex_);
  if (!recorded_.empty()) look();
  return done_.load() >= place;
}

// Counts the events that have happened. A lost context counts too: nothing uses the memory any more,
// and the next synchronisation says so. The lock is held.
void DeviceProgress::look() const {
  UnrelatedToCaptures unrelated;
  Current current(device_);
  while (!recorded_.empty()) {
    const Result result = driver().event_query(recorded_.front());
    if (result != kSuccess && result != kDeinitialized && !is_sticky(result)) return;
    spare_.push_back(recorded_.front());
    recorded_.pop_front();
    done_.fetch_add(1, std::memory_order_release);
  }
}

}  // namespace accel_cuda
