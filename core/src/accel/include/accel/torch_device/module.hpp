// A plugin's native module: all that is written on its DeviceRuntime.
//
//   struct MyPinned : accel::DevicePinned {};       // the module's own types of pinned buffers
//   accel::bind_torch_device<MyPinned>(module);
#pragma once

#include "bind_faults.hpp"
#include "bind_kv.hpp"
#include "bind_memcpy.hpp"
#include "bind_streams.hpp"

namespace accel {

template <class Pinned>
void bind_torch_device(pybind11::module_& module) {
  using pybind11::literals::operator""_a;
  bind_faults();
  module.def("device_count", [] { return runtime().device_count(); });
  module.def(
      "can_access_peer", [](int from, int to) { return runtime().reaches(from, to); },
      "device_index"_a, "peer_index"_a);
  PinnedModule<Pinned>::bind(module);
  module.def("use_pinned_device", &DevicePageLock::use_device, "device_index"_a);
  bind_streams(module);
  bind_memcpy(module);
  bind_kv(module);
}

}  // namespace accel
