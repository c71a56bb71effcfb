// The pinned pool of this process.
#pragma once

#include <accel/pinned_module.hpp>

#include "../runtime/stream_state.hpp"

namespace accel_ascend {

struct AclPinned {
  static accel::PinnedPool& pool();
  static const char* package() { return "accel_ascend"; }
  static void release_finished() { StreamState::release_passed(); }
  static accel::StreamPoint point(pybind11::handle stream);
};

}  // namespace accel_ascend
