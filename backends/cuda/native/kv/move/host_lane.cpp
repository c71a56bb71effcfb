#include "host_lane.hpp"

namespace accel_cuda::kv {
namespace {

constexpr std::size_t kAlignment = 512;

}  // namespace

StreamHandle HostLane::made(StreamHandle* stream) {
  if (*stream == nullptr) {
    ACCEL_CUDA_CALL(stream_create, stream, kStreamNonBlocking,
                    runtime_.device.greatest_priority());
  }
  return *stream;
}

EventHandle HostLane::take_event() {
  EventHandle event = nullptr;
  if (events_.empty()) {
    ACCEL_CUDA_CALL(event_create, &event, kEventDisableTiming);
  } else {
    event = events_.back();
    events_.pop_back();
  }
  return event;
}

DevicePointer HostLane::take(std::size_t bytes, StreamHandle user) {
  if (staging_ == 0) ACCEL_CUDA_CALL(memory_allocate, &staging_, kStagingBytes);
  const std::size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const auto wait_for_oldest = [&] {
    ACCEL_CUDA_CALL(stream_wait_event, user, parts_.front().passed, 0);
    events_.push_back(parts_.front().passed);
    parts_.pop_front();
  };
  if (at_ + size > kStagingBytes) {
    // What lies behind, from the round before, comes first in the order of use.
    while (!parts_.empty() && parts_.front().begin >= at_) wait_for_oldest();
    at_ = 0;
  }
  begun_ = at_;
  while (!parts_.empty() && parts_.front().begin < at_ + size && at_ < parts_.front().end) {
    wait_for_oldest();
  }
  at_ += size;
  return staging_ + begun_;
}

void HostLane::give(StreamHandle stream) {
  const EventHandle event = take_event();
  ACCEL_CUDA_CALL(event_record, event, stream);
  parts_.push_back({begun_, at_, event});
}

void HostLane::order(StreamHandle earlier, StreamHandle later) {
  const EventHandle event = take_event();
  ACCEL_CUDA_CALL(event_record, event, earlier);
  ACCEL_CUDA_CALL(stream_wait_event, later, event, 0);
  events_.push_back(event);  // the wait has its own copy of what was recorded
}

}  // namespace accel_cuda::kv
