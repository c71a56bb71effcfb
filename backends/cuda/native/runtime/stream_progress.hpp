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

// One stream's. Places are counted; that one was reached is known by events, recorded either with
// the place, which then stands for the work given until then and no more, or when somebody asks,
// which most never do.
class DeviceProgress : public accel::StreamProgress {
 public:
  static std::shared_ptr<DeviceProgress> of(const Device& device, StreamHandle stream);

  DeviceProgress(const Device& device, StreamHandle stream) : device_(device), stream_(stream) {}

  // All work given so far. The stream must not be captured.
  accel::StreamPoint point();
  // At least that, and perhaps what is given until somebody asks. The stream must stay alive.
  accel::StreamPoint late_point();

  bool reached(std::uint64_t place) const override;

 private:
  struct Recorded {
    std::uint64_t place;
    EventHandle event;
  };
  Result record() const;
  void look() const;

  const Device& device_;
  const StreamHandle stream_;
  std::weak_ptr<DeviceProgress> self_;
  mutable std::mutex mutex_;
  std::uint64_t given_ = 0;
  mutable std::deque<Recorded> recorded_;
  mutable std::vector<EventHandle> spare_;
  mutable std::atomic<std::uint64_t> done_{0};
};

}  // namespace accel_cuda
