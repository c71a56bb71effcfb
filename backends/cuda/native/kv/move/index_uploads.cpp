#include "index_uploads.hpp"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <thread>

#include "runtime/pending.hpp"

namespace accel_cuda::kv {
namespace {

constexpr std::size_t kAlignment = 256;

// Lets this thread allocate while a stream is being captured, by whomever.
class AllocationAllowed {
 public:
  AllocationAllowed() {
    if (driver().thread_capture_mode != nullptr) driver().thread_capture_mode(&mode_);
  }
  ~AllocationAllowed() {
    if (driver().thread_capture_mode != nullptr) driver().thread_capture_mode(&mode_);
  }
  AllocationAllowed(const AllocationAllowed&) = delete;
  AllocationAllowed& operator=(const AllocationAllowed&) = delete;

 private:
  int mode_ = kCaptureModeRelaxed;
};

void allocate(std::size_t bytes, char** host, DevicePointer* device) {
  const AllocationAllowed allowed;
  void* memory = nullptr;
  ACCEL_CUDA_CALL(host_allocate, &memory, bytes, kHostPortable | kHostMapped);
  const Result result = driver().memory_allocate(device, bytes);
  if (result != kSuccess) {
    driver().host_free(memory);
    throw_driver_fault(result, Entry::memory_allocate);
  }
  *host = static_cast<char*>(memory);
}

}  // namespace

// Memory that is freed with the last reference to a capsule.
struct IndexUploads::Slab::Memory {
  const Device& device;
  char* host;
  DevicePointer on_device;

  static void free(PyObject* capsule) {
    auto* const memory = static_cast<Memory*>(PyCapsule_GetPointer(capsule, nullptr));
    ContextHandle before = nullptr;
    driver().context_get_current(&before);
    driver().context_set_current(memory->device.context);
    driver().host_free(memory->host);
    driver().memory_free(memory->on_device);
    driver().context_set_current(before);
    delete memory;
  }
};

IndexUploads::IndexUploads(Runtime& runtime) : runtime_(runtime) {
  const Current current(runtime.device);
  ACCEL_CUDA_CALL(stream_create, &side_, kStreamNonBlocking, runtime.device.greatest_priority());
  sent_ = runtime.take_event();
  allocate(kRingBytes, &host_, &device_);
}

IndexUploads::~IndexUploads() {
  ContextHandle before = nullptr;
  driver().context_get_current(&before);
  driver().context_set_current(runtime_.device.context);
  for (const Part& part : parts_) {
    if (part.passed != nullptr) driver().event_synchronize(part.passed);
  }
  driver().host_free(host_);
  driver().memory_free(device_);
  driver().stream_destroy(side_);
  runtime_.give_event(sent_);
  driver().context_set_current(before);
}

void IndexUploads::retire_oldest() {
  const std::uint64_t number = parts_.front().number;
  const EventHandle passed = parts_.front().passed;
  if (passed == nullptr || driver().event_query(passed) != kSuccess) {
    pybind11::gil_scoped_release unlocked;
    if (passed != nullptr) {
      ACCEL_CUDA_CALL(event_synchronize, passed);
    } else {
      std::this_thread::yield();  // another thread is about to queue its work
    }
  }
  // Without the GIL others may have come first.
  if (parts_.empty() || parts_.front().number != number || parts_.front().passed == nullptr) return;
  runtime_.give_event(parts_.front().passed);
  parts_.pop_front();
}

IndexUploads::Slab::Slab(IndexUploads& uploads, std::size_t bytes, StreamHandle stream)
    : uploads_(uploads), stream_(stream) {
  const std::size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (size > kRingBytes / 2 || is_capturing(stream)) {
    take_own(size);
    return;
  }
  for (;;) {
    auto& parts = uploads.parts_;
    const bool wraps = uploads.at_ + size > kRingBytes;
    // What lies behind, from the round before, comes first in the order of use.
    if (wraps && !parts.empty() && parts.front().begin >= uploads.at_) {
      uploads.retire_oldest();
      continue;
    }
    const std::size_t begin = wraps ? 0 : uploads.at_;
    if (!parts.empty() && parts.front().begin < begin + size && begin < parts.front().end) {
      uploads.retire_oldest();
      continue;
    }
    part_ = ++uploads.numbers_;
    parts.push_back({begin, begin + size, nullptr, part_});
    uploads.at_ = begin + size;
    host_ = uploads.host_ + begin;
    device_ = uploads.device_ + begin;
    in_ring_ = true;
    return;
  }
}

void IndexUploads::Slab::take_own(std::size_t bytes) {
  allocate(bytes, &host_, &device_);
  auto* const memory = new Memory{uploads_.runtime_.device, host_, device_};
  PyObject* const owner = PyCapsule_New(memory, nullptr, &Memory::free);
  if (owner == nullptr) throw pybind11::error_already_set();
  // Until the graph, or the work that is about to be queued, is over: `keep` looks at what the
  // stream has when it is called, so that comes last.
  part_ = reinterpret_cast<std::uintptr_t>(owner);
}

IndexUploads::Slab::~Slab() {
  if (!in_ring_) {
    auto* const owner = reinterpret_cast<PyObject*>(part_);
    if (owner == nullptr) return;
    try {
      keep(uploads_.runtime_, stream_, {owner});
    } catch (...) {
      return;  // the driver is lost; memory that may be in use is not freed
    }
    Py_DECREF(owner);
    return;
  }
  for (Part& part : uploads_.parts_) {
    if (part.number != part_) continue;
    try {
      part.passed = uploads_.runtime_.take_event();
    } catch (...) {
      return;
    }
    driver().event_record(part.passed, stream_);
    return;
  }
}

void IndexUploads::Slab::send(std::size_t bytes) const {
  // A captured stream takes no work from beside it.
  const StreamHandle way = in_ring_ ? uploads_.side_ : stream_;
  ACCEL_CUDA_CALL(memcpy_to_device_async, device_, host_, bytes, way);
  if (!in_ring_) return;
  // Whoever records it last, the event stands for all that went before.
  ACCEL_CUDA_CALL(event_record, uploads_.sent_, way);
  ACCEL_CUDA_CALL(stream_wait_event, stream_, uploads_.sent_, 0);
}

}  // namespace accel_cuda::kv
