#include "index_uploads.hpp"

#include <pybind11/pybind11.h>

#include <algorithm>

#include "runtime/pending.hpp"

namespace accel_cuda::kv {
namespace {

constexpr std::size_t kSmallestSlab = std::size_t{64} << 10;
// As many calls may be under way; more wait for the oldest.
constexpr std::size_t kMostSlabs = 32;

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

void free_slab(UploadSlab* slab) {
  if (slab->host != nullptr) driver().host_free(slab->host);
  if (slab->device != 0) driver().memory_free(slab->device);
  delete slab;
}

}  // namespace

UploadSlab* IndexUploads::make(std::size_t bytes) {
  std::size_t size = kSmallestSlab;
  while (size < bytes) size *= 2;
  const AllocationAllowed allowed;
  auto slab = std::make_unique<UploadSlab>();
  void* host = nullptr;
  ACCEL_CUDA_CALL(host_allocate, &host, size, kHostPortable | kHostMapped);
  slab->host = static_cast<char*>(host);
  slab->bytes = size;
  const Result result = driver().memory_allocate(&slab->device, size);
  if (result != kSuccess) {
    free_slab(slab.release());
    throw_driver_fault(result, Entry::memory_allocate);
  }
  return slab.release();
}

UploadSlab* IndexUploads::take(std::size_t bytes, StreamHandle stream) {
  if (is_capturing(stream)) {
    UploadSlab* const slab = make(bytes);
    PyObject* const owner = PyCapsule_New(slab, nullptr, [](PyObject* capsule) {
      free_slab(static_cast<UploadSlab*>(PyCapsule_GetPointer(capsule, nullptr)));
    });
    if (owner == nullptr) {
      free_slab(slab);
      throw pybind11::error_already_set();
    }
    keep_in_graph(runtime_, stream, &owner, 1);
    Py_DECREF(owner);
    return slab;
  }
  for (std::size_t i = 0; i < slabs_.size(); ++i) {
    UploadSlab* const slab = slabs_[(next_ + i) % slabs_.size()].get();
    if (slab->bytes < bytes) continue;
    if (slab->in_use && driver().event_query(slab->passed) != kSuccess) continue;
    next_ = (next_ + i + 1) % slabs_.size();
    slab->in_use = true;
    return slab;
  }
  if (slabs_.size() < kMostSlabs) {
    slabs_.emplace_back(make(bytes));
    slabs_.back()->in_use = true;
    return slabs_.back().get();
  }
  std::unique_ptr<UploadSlab>& oldest = slabs_[next_];
  next_ = (next_ + 1) % slabs_.size();
  if (oldest->passed != nullptr) {
    const EventHandle passed = oldest->passed;
    pybind11::gil_scoped_release unlocked;
    ACCEL_CUDA_CALL(event_synchronize, passed);
  }
  if (oldest->bytes < bytes) {
    UploadSlab* const larger = make(bytes);
    larger->passed = oldest->passed;
    oldest->passed = nullptr;
    free_slab(oldest.release());
    oldest.reset(larger);
  }
  oldest->in_use = true;
  return oldest.get();
}

void IndexUploads::send(const UploadSlab& slab, std::size_t bytes, StreamHandle stream) {
  ACCEL_CUDA_CALL(memcpy_to_device_async, slab.device, slab.host, bytes, stream);
}

void IndexUploads::give(UploadSlab* slab, StreamHandle stream) {
  if (is_capturing(stream)) return;  // the graph's own
  if (slab->passed == nullptr) slab->passed = runtime_.take_event();
  ACCEL_CUDA_CALL(event_record, slab->passed, stream);
}

}  // namespace accel_cuda::kv
