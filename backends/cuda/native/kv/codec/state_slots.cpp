#include "state_slots.hpp"

#include <accel/errors.hpp>

namespace accel_cuda::coding {
namespace {

constexpr std::size_t kResultBytes = 64;
static_assert(sizeof(coding_result) <= kResultBytes, "a line each");
constexpr unsigned kMapped = 2;  // CU_MEMHOSTALLOC_DEVICEMAP, hipHostMallocMapped

}  // namespace

// Lives as long as the process, as all memory here.
void StateSlots::grow() {
  Current current(device_);
  DevicePointer base = 0;
  ACCEL_CUDA_CALL(memory_allocate, &base, kSlots * sizeof(coding_state));
  for (std::size_t i = kSlots; i-- > 0;) free_.push_back(base + i * sizeof(coding_state));
}

DevicePointer StateSlots::of_stream(StreamHandle stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_stream_.find(stream);
  if (found != by_stream_.end()) return found->second;
  if (free_.size() <= kReserve) grow();
  const DevicePointer slot = free_.back();
  free_.pop_back();
  by_stream_.emplace(stream, slot);
  return slot;
}

DevicePointer StateSlots::for_graph() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (free_.empty()) {
    accel::fail_message("StateError",
                        "captures hold all of the entropy coder's memory: call entropy_model or "
                        "decode outside a capture once, which takes more");
  }
  const DevicePointer slot = free_.back();
  free_.pop_back();
  return slot;
}

ResultSlots::Slot ResultSlots::take() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (free_.empty()) {
    Current current(device_);
    void* host = nullptr;
    DevicePointer address = 0;
    ACCEL_CUDA_CALL(host_allocate, &host, kSlots * kResultBytes, kMapped);
    ACCEL_CUDA_CALL(host_device_pointer, &address, host, 0);
    for (std::size_t i = 0; i < kSlots; ++i) {
      free_.push_back({reinterpret_cast<coding_result*>(static_cast<char*>(host) + i * kResultBytes),
                       address + i * kResultBytes});
    }
  }
  const Slot slot = free_.back();
  free_.pop_back();
  return slot;
}

void ResultSlots::give(Slot slot) {
  std::lock_guard<std::mutex> lock(mutex_);
  free_.push_back(slot);
}

}  // namespace accel_cuda::coding
