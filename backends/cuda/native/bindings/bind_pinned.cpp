// The pinned pool for devices: pages locked by the driver.

#include <memory>

#include "../runtime/device_page_lock.hpp"
#include "../runtime/graveyard.hpp"
#include "../runtime/stream.hpp"
#include "../runtime/stream_progress.hpp"
#include "bindings.hpp"
#include "pinned.hpp"

namespace accel_cuda {

accel::PinnedPool& CudaPinned::pool() {
  // Not the CPU backend's prefix: locks on shared segments are of one library.
  static accel::PinnedPool& only =
      accel::PinnedPool::create(std::make_unique<DevicePageLock>(), "accel-cuda-pinned");
  return only;
}

void CudaPinned::release_finished() { drain_graveyard(); }

accel::StreamPoint CudaPinned::point(pybind11::handle stream) {
  const Stream* const given = as_stream(stream);
  if (given == nullptr) {
    accel::fail("DTypeError", "stream", "a stream of the cuda backend",
                accel::describe(stream.ptr()), "create streams with backend.streams.create()");
  }
  given->refuse_in_capture("pinned.record_stream");
  Submission submission(given->runtime);
  return DeviceProgress::of(given->device(), given->handle)->point();
}

// Streams of ours, and the default ones, are never destroyed, so that an event can be recorded when
// somebody asks; others get theirs at once.
accel::StreamPoint point_of(Runtime& runtime, StreamHandle stream) {
  constexpr std::uintptr_t kLastDefaultStream = 2;
  const auto progress = DeviceProgress::of(runtime.device, stream);
  if (reinterpret_cast<std::uintptr_t>(stream) <= kLastDefaultStream ||
      runtime.state(stream).ours) {
    return progress->late_point();
  }
  Submission submission(runtime);
  return progress->point();
}

void bind_pinned(pybind11::module_& module) { accel::PinnedModule<CudaPinned>::bind(module); }

}  // namespace accel_cuda
