// Queues as torch knows them: pools of 32 for each device and priority, handed out in turn, and any
// other queue by its handle.
#pragma once

#include <utility>

#include <c10/core/Stream.h>

namespace accel_sim {
class Stream;
}

namespace torch_mlu __attribute__((visibility("default"))) {

constexpr int kPriorities = 4;       // torch's 0 (the usual one) to -3 (first)
constexpr int kQueuesOfAPool = 32;

c10::Stream current_stream(c10::DeviceIndex device);  // of the calling thread; -1: current device
c10::Stream default_stream(c10::DeviceIndex device);
c10::Stream exchange_stream(c10::Stream stream);      // gives the previous one of its device
c10::Stream pool_stream(c10::DeviceIndex device, int priority);
c10::Stream external_stream(c10::DeviceIndex device, void* queue);

// The cnrtQueue_t; nullptr is the default queue of the stream's device.
void* queue_of(const c10::Stream& stream);
int priority_of(const c10::Stream& stream);
// The queue as the simulator's core knows it, for work that no function of CNRT gives it.
accel_sim::Stream& simulated(const c10::Stream& stream);

bool query_stream(const c10::Stream& stream);
void synchronize_stream(const c10::Stream& stream);

// The vendor's name for it: torch_mlu::getCurrentMLUStream().stream().
class MLUStream {
 public:
  explicit MLUStream(c10::Stream stream) : stream_(stream) {}
  void* stream() const { return queue_of(stream_); }
  c10::Stream unwrap() const { return stream_; }
  operator c10::Stream() const { return stream_; }

 private:
  c10::Stream stream_;
};
inline MLUStream getCurrentMLUStream(c10::DeviceIndex device = -1) {
  return MLUStream(current_stream(device));
}

}  // namespace torch_mlu
