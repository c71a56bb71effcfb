// The thread's current device, for the length of a call into ACL.
#pragma once

#include "error.hpp"

namespace accel_ascend {

// ACL looks at the calling thread's device for nearly everything. What was current is restored: a
// thread that had none is given device 0, which is what torch_npu takes then.
class Current {
 public:
  explicit Current(int index) {
    std::int32_t now = -1;
    const Result asked = acl().get_device(&now);
    if (asked != kSuccess) now = -1;
    if (now == index) return;
    ACCEL_ACL_CALL(set_device, index);
    before_ = now < 0 ? 0 : now;
    changed_ = before_ != index;
  }
  ~Current() {
    if (changed_) acl().set_device(before_);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  std::int32_t before_ = 0;
  bool changed_ = false;
};

}  // namespace accel_ascend
