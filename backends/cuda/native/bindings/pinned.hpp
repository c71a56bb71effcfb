// The pinned pool of this process, and what its Python side needs to know of the device's streams.
#pragma once

#include <accel/pinned_module.hpp>

#include "../runtime/runtime.hpp"

namespace accel_cuda {

struct CudaPinned {
  static accel::PinnedPool& pool();
  static const char* package() { return "accel_cuda"; }
  static void release_finished();
  static accel::StreamPoint point(pybind11::handle stream);
};

// All work given to the stream so far, or at least that: for memory that is lent to it. The stream
// must not be captured.
accel::StreamPoint point_of(Runtime& runtime, StreamHandle stream);

}  // namespace accel_cuda
