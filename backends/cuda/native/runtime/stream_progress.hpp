// How far the streams of the device have got, asked by those who lent memory to them.
#pragma once

#include <accel/stream_point.hpp>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "../driver/device.hpp"

namespace accel_cuda {

// One stream's. Every place has an event behind it, recorded when the place was asked for, so it
// stands for the work given until then and no more.
class DeviceProgress : public accel::StreamProgress {
 public:
  static std::shared_ptr<DeviceProgress> of(const Device& device, StreamHandle stream);

  DeviceProgress(const Device& device, StreamHandle stream) : device_(device), stream_(stream) {}

  // All work given so far. The device's context must be current, and the stream not be captured.
  accel::StreamPoint point();
  bool reached(std::uint64_t place) const override;

 private:
  void look() const;

  const Device& device_;
  const StreamHandle stream_;
  std::weak_ptr<DeviceProgress> self_;
  mutable std::mutex mutex_;
  mutable std::deque<EventHandle> recorded_;  // of places done_ + 1, done_ + 2, ...
  mutable std::vector<EventHandle> spare_;
  mutable std::atomic<std::uint64_t> done_{0};
};

}  // namespace accel_cuda
