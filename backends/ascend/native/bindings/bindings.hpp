// The parts of the module _native, one function each.
#pragma once

#include <pybind11/pybind11.h>

namespace accel_ascend {

void bind_acl(pybind11::module_& module);
void bind_streams(pybind11::module_& module);
void bind_pinned(pybind11::module_& module);
void bind_memcpy(pybind11::module_& module);
// The KV kernels' and the kernel launcher's own parts, as `native/kv` and `native/launch` have them.
#if __has_include("../kv/bind_kv.hpp")
void bind_kv(pybind11::module_& module);
#endif
#if __has_include("../launch/bind_launch.hpp")
void bind_launch(pybind11::module_& module);
#endif

}  // namespace accel_ascend
