#include "copy_elsewhere.hpp"

#include <accel/errors.hpp>

#include <map>
#include <memory>
#include <utility>

#include "../runtime/peer_access.hpp"

namespace accel_cuda {
namespace {

namespace py = pybind11;

struct Scratch {
  py::object allocate, release;
};

Scratch& scratch() {
  static auto* only = new Scratch;  // never destroyed: the interpreter may be gone by then
  return *only;
}

// A stream of the device for work that other devices' streams give away; one for each device.
StreamHandle side_stream(const Device& device) {
  static auto* streams = new std::map<int, std::shared_ptr<Stream>>;
  auto& stream = (*streams)[device.index];
  if (stream == nullptr) stream = Stream::create(device, 0);
  return stream->handle;
}

}  // namespace

void copy_any(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes, StreamHandle stream) {
  if (driver().memcpy_async != nullptr) {
    ACCEL_CUDA_CALL(memcpy_async, dst, src, nbytes, stream);
  } else {
    constexpr int kByAddress = 4;
    ACCEL_CUDA_CALL(memcpy_kind_async, reinterpret_cast<void*>(dst),
                    reinterpret_cast<const void*>(src), nbytes, kByAddress, stream);
  }
}

void copy_to_peer(std::uintptr_t dst, int dst_device, std::uintptr_t src, int src_device,
                  std::size_t nbytes, StreamHandle stream) {
  if (driver().memcpy_peer_async != nullptr) {
    const Device &to = Device::get(dst_device), &from = Device::get(src_device);
    connect_peers(to, from);
    ACCEL_CUDA_CALL(memcpy_peer_async, dst, to.context, src, from.context, nbytes, stream);
  } else {
    copy_any(dst, src, nbytes, stream);
  }
}

void use_scratch(py::object allocate, py::object release) {
  scratch().allocate = std::move(allocate);
  scratch().release = std::move(release);
}

ScratchMemory::ScratchMemory(std::size_t nbytes, int device, StreamHandle stream) {
  if (!scratch().allocate) {
    accel::fail_message("StateError", "no allocator was given to the native module");
  }
  address_ = py::cast<std::uintptr_t>(
      scratch().allocate(nbytes, device, reinterpret_cast<std::uintptr_t>(stream)));
}

ScratchMemory::~ScratchMemory() {
  try {
    scratch().release(address_);
  } catch (py::error_already_set& error) {
    error.discard_as_unraisable("accel_cuda: giving back device memory");
  }
}

void order(Runtime& earlier_runtime, StreamHandle earlier, Runtime& later_runtime,
           StreamHandle later) {
  if (earlier == later && &earlier_runtime == &later_runtime) return;
  EventHandle event = nullptr;
  {
    Current current(earlier_runtime.device);
    event = earlier_runtime.take_event();
    Submission submission(earlier_runtime);
    ACCEL_CUDA_CALL(event_record, event, earlier);
  }
  {
    Submission submission(later_runtime);
    ACCEL_CUDA_CALL(stream_wait_event, later, event, 0);
  }
  earlier_runtime.give_event(event);  // a wait is for the recording that it saw
}

Elsewhere::Elsewhere(Runtime& home, StreamHandle stream, int device)
    : home_(home),
      runtime_(device == home.device.index ? home : Runtime::of(Device::get(device))),
      home_stream_(stream),
      stream_(&runtime_ == &home ? stream : side_stream(runtime_.device)) {
  order(home_, home_stream_, runtime_, stream_);
}

}  // namespace accel_cuda
