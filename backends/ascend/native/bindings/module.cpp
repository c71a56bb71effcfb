#include "bindings.hpp"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The native part of accel-ascend: ACL, host callbacks, pinned memory, copies, KV.";
  accel_ascend::bind_acl(module);
  accel_ascend::bind_device(module);
  accel_ascend::bind_launch(module);
}
