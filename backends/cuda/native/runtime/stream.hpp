// Streams of the device, made here or adopted from torch and others.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "runtime.hpp"
#include "torch_streams.hpp"

namespace accel_cuda {

class Event;

// One queue of work. There is one Stream for a device and handle at a time.
//
// Streams made here are never destroyed: torch's allocator records events on every stream that it
// was told of, when a tensor is freed, however long after. When the owner lets go, the stream waits
// for the next owner, who gets it once it has run idle.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  // `priority` is clamped to the device's range.
  static std::shared_ptr<Stream> create(const Device& device, int priority);
  // The stream behind a handle, which stays its maker's. 0 is the default stream.
  static std::shared_ptr<Stream> adopt(const Device& device, StreamHandle handle);
  // torch's current stream of this thread.
  static std::shared_ptr<Stream> current(const Device& device);

  Stream(Runtime& runtime, StreamState& state, int priority);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Runtime& runtime;
  StreamState& state;
  const StreamHandle handle;
  const int priority;
  TorchStreamId torch_id;

  const Device& device() const noexcept { return runtime.device; }

  bool query();
  // Throws accel::ErrorSet with an AsyncError when work failed.
  void synchronize();
  void wait_event(const Event& event);
  void wait_stream(const Stream& other);
  void add_callback(PyObject* fn);

  // Throws a StateError that names `call` while the stream is captured.
  void refuse_in_capture(const char* call) const;
};

// Blocks until every stream of the device is idle, then raises the first failure.
void synchronize_device(const Device& device);

// Calls step(), which returns whether it is done, without the GIL until it is; Python's signal
// handlers run in between, so Ctrl-C is honoured. Spins for 10 ms, then looks every 50 us.
template <class Step>
void wait_interruptibly(Step step);

// What a binding's argument `stream` stands for: None is torch's current stream. About 0.1 us.
// Raises DTypeError for what is no stream of this backend, DeviceError for another device's.
StreamHandle resolve_stream(pybind11::handle object, const Device& device,
                            const char* argument = "stream");

// The Stream object, or null when `object` is none.
Stream* as_stream(pybind11::handle object);

}  // namespace accel_cuda

#include "waiting.hpp"
