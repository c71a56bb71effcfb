// Small device memory for calls of the coder, and pinned memory for what they answer.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "driver/device.hpp"
#include "kernels/coding_args.h"

namespace accel_cuda::coding {

// One coding_state for each stream, whose calls follow one another; and a new one, for good, for
// each call that a graph keeps, since replays may meet on different streams. Memory is taken ahead,
// so that a call in a capture, where the driver gives none, finds some.
class StateSlots {
 public:
  explicit StateSlots(const Device& device) : device_(device) { grow(); }

  // Raises StateError when a capture needs more than there are.
  DevicePointer of_stream(StreamHandle stream);
  DevicePointer for_graph();

 private:
  static constexpr std::size_t kSlots = 1024, kReserve = 256;
  void grow();

  const Device& device_;
  std::mutex mutex_;
  std::vector<DevicePointer> free_;
  std::unordered_map<StreamHandle, DevicePointer> by_stream_;
};

// Results of calls that wait; each has one of its own.
class ResultSlots {
 public:
  explicit ResultSlots(const Device& device) : device_(device) {}

  struct Slot {
    coding_result* host;
    DevicePointer device;
  };
  Slot take();
  void give(Slot slot);

 private:
  static constexpr std::size_t kSlots = 64;

  const Device& device_;
  std::mutex mutex_;
  std::vector<Slot> free_;
};

}  // namespace accel_cuda::coding
