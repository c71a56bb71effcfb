#include "pageable_copy.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "capture_mode.hpp"

namespace accel_cuda {
namespace {

constexpr std::size_t kPart = std::size_t{2} << 20;
constexpr std::size_t kSlots = 2;  // of a thread: one is copied by the device, one by the thread
constexpr unsigned kMostThreads = 4;

class OwnEvent {
 public:
  OwnEvent() {
    UnrelatedToCaptures unrelated;
    ACCEL_CUDA_CALL(event_create, &handle, kEventDisableTiming);
  }
  ~OwnEvent() { driver().event_destroy(handle); }
  OwnEvent(const OwnEvent&) = delete;
  OwnEvent& operator=(const OwnEvent&) = delete;
  EventHandle handle = nullptr;
};

// Pinned memory and events of one thread. The device is done with the memory when it is given back.
class Slots {
 public:
  explicit Slots(accel::PinnedPool& pool)
      : pool_(pool), block_(pool.allocate(kSlots * kPart, -1, false)) {}
  ~Slots() {
    for (std::size_t i = 0; i < kSlots; ++i) {
      if (busy_[i]) driver().event_synchronize(done_[i].handle);
    }
    pool_.free(block_);
  }
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;

  char* data(std::size_t slot) const { return block_->base + slot * kPart; }
  DevicePointer address(std::size_t slot) const {
    return reinterpret_cast<DevicePointer>(data(slot));
  }
  void record(std::size_t slot, StreamHandle stream) {
    ACCEL_CUDA_CALL(event_record, done_[slot].handle, stream);
    busy_[slot] = true;
  }
  void wait(std::size_t slot) {
    if (!busy_[slot]) return;
    ACCEL_CUDA_CALL(event_synchronize, done_[slot].handle);
    busy_[slot] = false;
  }

 private:
  accel::PinnedPool& pool_;
  accel::PinnedBlock* block_;
  std::array<OwnEvent, kSlots> done_;
  std::array<bool, kSlots> busy_{};
};

// Runs work(slots, take) on several threads; take() gives the offset of a part nobody else has, or
// nbytes when there is none left. Throws what the first of them threw.
template <class Work>
void on_threads(const Device& device, accel::PinnedPool& pool, std::size_t nbytes,
                const Work& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto take = [&] { return std::min(nbytes, next.fetch_add(kPart)); };
  const auto run = [&] {
    try {
      Current current(device);
      Slots slots(pool);
      work(slots, take);
    } catch (...) {
      next.store(nbytes);  // the others stop too
      std::lock_guard<std::mutex> lock(mutex);
      if (failure == nullptr) failure = std::current_exception();
    }
  };
  const unsigned threads = std::clamp(std::thread::hardware_concurrency() / 2, 1u, kMostThreads);
  std::vector<std::thread> workers;
  for (unsigned i = 1; i < threads; ++i) workers.emplace_back(run);
  run();
  for (std::thread& worker : workers) worker.join();
  if (failure != nullptr) std::rethrow_exception(failure);
}

}  // namespace

void copy_from_pageable(const Device& device, StreamHandle stream, accel::PinnedPool& pool,
                        DevicePointer dst, const char* src, std::size_t nbytes) {
  on_threads(device, pool, nbytes, [&](Slots& slots, const auto& take) {
    std::size_t slot = 0;
    for (std::size_t at = take(); at < nbytes; at = take(), slot = (slot + 1) % kSlots) {
      const std::size_t part = std::min(kPart, nbytes - at);
      slots.wait(slot);
      std::memcpy(slots.data(slot), src + at, part);
      ACCEL_CUDA_CALL(memcpy_to_device_async, dst + at, slots.data(slot), part, stream);
      slots.record(slot, stream);
    }
  });
}

void copy_to_pageable(const Device& device, StreamHandle stream, accel::PinnedPool& pool, char* dst,
                      DevicePointer src, std::size_t nbytes) {
  on_threads(device, pool, nbytes, [&](Slots& slots, const auto& take) {
    // What each slot is to hold: the device fills one while the thread empties the other.
    std::array<std::size_t, kSlots> offset;
    const auto fill = [&](std::size_t slot) {
      offset[slot] = take();
      if (offset[slot] >= nbytes) return;
      const std::size_t part = std::min(kPart, nbytes - offset[slot]);
      ACCEL_CUDA_CALL(memcpy_to_host_async, slots.data(slot), src + offset[slot], part, stream);
      slots.record(slot, stream);
    };
    for (std::size_t slot = 0; slot < kSlots; ++slot) fill(slot);
    for (std::size_t slot = 0; offset[slot] < nbytes; slot = (slot + 1) % kSlots) {
      slots.wait(slot);
      std::memcpy(dst + offset[slot], slots.data(slot), std::min(kPart, nbytes - offset[slot]));
      fill(slot);
    }
  });
}

}  // namespace accel_cuda
