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
  ++given_;
  check(record(), Entry::event_record);
  return accel::StreamPoint(self_.lock(), given_);
}

accel::StreamPoint DeviceProgress::late_point() {
  std::lock_guard<std::mutex> lock(mutex_);
  return accel::StreamPoint(self_.lock(), ++given_);
}

bool DeviceProgress::reached(std::uint64_t place) const {
  if (done_.load(std::memory_order_acquire) >= place) return true;
  std::lock_guard<std::mutex> lock(mutex_);
  const bool asked = !recorded_.empty() && recorded_.back().place >= place;
  if (!asked) {
    const Result result = record();
    if (is_sticky(result) || result == kDeinitialized) done_.store(given_);
    if (result != kSuccess) return done_.load() >= place;
  }
  look();
  return done_.load() >= place;
}

// Puts an event behind all places. Fails, without harm, while the stream is captured. The lock is
// held.
Result DeviceProgress::record() const {
  UnrelatedToCaptures unrelated;
  Current current(device_);
  int capturing = kCaptureNone;
  if (driver().stream_is_capturing != nullptr &&
      (driver().stream_is_capturing(stream_, &capturing) != kSuccess ||
       capturing != kCaptureNone)) {
    return kCaptureUnsupported;
  }
  EventHandle event = nullptr;
  if (spare_.empty()) {
    const Result made = driver().event_create(&event, kEventDisableTiming);
    if (made != kSuccess) return made;
  } else {
    event = spare_.back();
    spare_.pop_back();
  }
  const Result result = driver().event_record(event, stream_);
  if (result == kSuccess) {
    recorded_.push_back({given_, event});
  } else {
    spare_.push_back(event);
  }
  return result;
}

// Counts the events that have happened. A lost context counts too: nothing uses the memory any
// more, and the next synchronisation says so. The lock is held.
void DeviceProgress::look() const {
  UnrelatedToCaptures unrelated;
  Current current(device_);
  while (!recorded_.empty()) {
    const Result result = driver().event_query(recorded_.front().event);
    if (result != kSuccess && result != kDeinitialized && !is_sticky(result)) return;
    done_.store(recorded_.front().place, std::memory_order_release);
    spare_.push_back(recorded_.front().event);
    recorded_.pop_front();
  }
}

}  // namespace accel_cuda
