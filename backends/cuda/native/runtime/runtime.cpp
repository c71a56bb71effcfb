#include "runtime.hpp"

#include <array>
#include <cstring>

namespace accel_cuda {
namespace {

constexpr std::size_t kWordsAtOnce = 256;  // 32 KiB

}  // namespace

Runtime& Runtime::of(const Device& device) {
  static std::array<Runtime*, 256> all{};
  Runtime*& found = all[static_cast<std::size_t>(device.index)];
  if (found == nullptr) found = new Runtime(device);  // never destroyed: states refer to it
  return *found;
}

StreamState& Runtime::find_state(StreamHandle handle) {
  const auto known = by_handle_.find(handle);
  if (known != by_handle_.end()) {
    last_ = known->second;
    return *last_;
  }
  if (free_words_.empty()) add_words();
  auto made = std::make_unique<StreamState>();
  made->handle = handle;
  made->words = free_words_.back();
  made->words_address = reinterpret_cast<DevicePointer>(made->words) + words_shift_;
  StreamState* const state = made.get();
  all_.push_back(std::move(made));
  free_words_.pop_back();
  by_handle_.emplace(handle, state);
  last_ = state;
  return *state;
}

void Runtime::add_words() {
  Current current(device);
  void* memory = nullptr;
  ACCEL_CUDA_CALL(host_allocate, &memory, kWordsAtOnce * sizeof(StreamWords),
                  kHostPortable | kHostMapped);
  std::memset(memory, 0, kWordsAtOnce * sizeof(StreamWords));
  DevicePointer address = 0;
  ACCEL_CUDA_CALL(host_device_pointer, &address, memory, 0);
  words_shift_ = address - reinterpret_cast<DevicePointer>(memory);
  for (std::size_t i = kWordsAtOnce; i-- > 0;) {
    free_words_.push_back(static_cast<StreamWords*>(memory) + i);
  }
}

EventHandle Runtime::take_event() {
  if (!events_.empty()) {
    const EventHandle event = events_.back();
    events_.pop_back();
    return event;
  }
  EventHandle event = nullptr;
  ACCEL_CUDA_CALL(event_create, &event, kEventDisableTiming);
  return event;
}

}  // namespace accel_cuda
