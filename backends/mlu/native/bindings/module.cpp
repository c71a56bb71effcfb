#include "bindings.hpp"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The native part of accel-mlu: CNRT, host callbacks, pinned memory, copies, KV.";
  accel_mlu::bind_cnrt(module);
  accel_mlu::bind_device(module);
  accel_mlu::bind_launch(module);
}
