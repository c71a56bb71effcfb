// torch's idea of the current stream, and telling torch's allocator where its tensors are used.
//
// torch is not linked: its own functions are called as Python calls them, found once. Where torch
// has none (a build without CUDA, in tests of this module) the current stream is kept here, for
// each thread. The GIL must be held.
#pragma once

#include <pybind11/pybind11.h>

#include "runtime.hpp"

namespace accel_cuda {

// `functions` maps names to torch's functions; without "current_raw_stream" torch has no streams.
void use_torch(const pybind11::dict& functions);

// torch's current stream on the device, of this thread: about 0.1 us.
StreamHandle current_stream(const Device& device);

// What is needed to make a stream torch's current one.
struct TorchStreamId {
  std::int64_t stream_id = 0;
  int device_index = 0;
  int device_type = 1;
};

// Makes the stream current and remembers what was, for the thread's next `leave`.
void enter(const Device& device, StreamHandle stream, const TorchStreamId& id);
void leave(const Device& device);

// A new torch.cuda.ExternalStream for the handle. Raises CapabilityError where torch has none.
pybind11::object torch_object(const Device& device, StreamHandle stream);

// tensor.record_stream(stream): its memory is not used for anything else before what `stream` has
// now is done. While the stream is captured the tensor is kept by the graph instead.
void record_use(Runtime& runtime, StreamHandle stream, PyObject* tensor);

}  // namespace accel_cuda
