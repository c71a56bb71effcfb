#include "bindings.hpp"

namespace accel_cuda {
void bind_kv(pybind11::module_& module);
void bind_quantize(pybind11::module_& module);
void bind_rope(pybind11::module_& module);
void bind_coding(pybind11::module_& module);
}  // namespace accel_cuda

PYBIND11_MODULE(_native, module) {
  module.doc() =
      "The native part of accel-cuda: driver, streams, events, graphs, pinned memory, copies, KV.";
  accel_cuda::bind_faults(module);
  accel_cuda::bind_driver(module);
  accel_cuda::bind_events(module);
  accel_cuda::bind_streams(module);
  accel_cuda::bind_pinned(module);
  accel_cuda::bind_memcpy(module);
  accel_cuda::bind_kv(module);
  accel_cuda::bind_quantize(module);
  accel_cuda::bind_rope(module);
  accel_cuda::bind_coding(module);
}
