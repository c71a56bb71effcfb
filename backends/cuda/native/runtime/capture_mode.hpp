// Calls that have nothing to do with a capture that is under way in this process.
#pragma once

#include "../driver/table.hpp"

namespace accel_cuda {

// While it lives, this thread may make calls that a capture of torch's, in its strictest mode,
// would be invalidated by: locking pages, making events, asking about them.
class UnrelatedToCaptures {
 public:
  UnrelatedToCaptures() {
    if (driver().thread_capture_mode != nullptr) driver().thread_capture_mode(&mode_);
  }
  ~UnrelatedToCaptures() {
    if (driver().thread_capture_mode != nullptr) driver().thread_capture_mode(&mode_);
  }
  UnrelatedToCaptures(const UnrelatedToCaptures&) = delete;
  UnrelatedToCaptures& operator=(const UnrelatedToCaptures&) = delete;

 private:
  int mode_ = kCaptureModeRelaxed;
};

}  // namespace accel_cuda
