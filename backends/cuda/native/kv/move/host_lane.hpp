// One direction between the host and a device: side streams, and staging memory on the device that
// is bounded and reused in turn.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "runtime/runtime.hpp"

namespace accel_cuda::kv {

class HostLane {
 public:
  explicit HostLane(Runtime& runtime) : runtime_(runtime) {}

  // Held for the length of a transfer: pieces of two transfers do not mix. The other members need
  // it, and the device's context to be current; they need no GIL.
  std::mutex mutex;

  // The side stream for kernels, and one for copies of calls on a default stream; made on first use.
  StreamHandle side() { return made(&side_); }
  StreamHandle copies() { return made(&copies_); }
  // `bytes` (at most kStagingBytes) of staging memory. `user` waits for what was last done with it.
  DevicePointer take(std::size_t bytes, StreamHandle user);
  // What `stream` has now is the last use of what was taken since the last call.
  void give(StreamHandle stream);

  // `later` waits for what `earlier` has now.
  void order(StreamHandle earlier, StreamHandle later);

  static constexpr std::size_t kStagingBytes = std::size_t{128} << 20;

 private:
  struct Part {
    std::size_t begin, end;
    EventHandle passed;
  };

  EventHandle take_event();
  StreamHandle made(StreamHandle* stream);

  Runtime& runtime_;
  std::vector<EventHandle> events_;
  StreamHandle side_ = nullptr, copies_ = nullptr;
  DevicePointer staging_ = 0;
  std::size_t at_ = 0, begun_ = 0;
  std::deque<Part> parts_;  // in the order of their use
};

}  // namespace accel_cuda::kv
