#include "bindings.hpp"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The native part of accel-ascend: ACL, host callbacks, pinned memory, copies, KV.";
  accel_ascend::bind_acl(module);
  accel_ascend::bind_streams(module);
  accel_ascend::bind_pinned(module);
  accel_ascend::bind_memcpy(module);
#if __has_include("../kv/bind_kv.hpp")
  accel_ascend::bind_kv(module);
#endif
#if __has_include("../launch/bind_launch.hpp")
  accel_ascend::bind_launch(module);
#endif
}
