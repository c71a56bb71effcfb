// The pinned pool of this process, and what its Python side needs to know of the CPU's streams.
#pragma once

#include <accel/pinned_module.hpp>

namespace accel_cpu {

struct CpuPinned {
  static accel::PinnedPool& pool();
  static const char* package() { return "accel_cpu"; }
  static void release_finished();
  static accel::StreamPoint point(pybind11::handle stream);
};

}  // namespace accel_cpu
