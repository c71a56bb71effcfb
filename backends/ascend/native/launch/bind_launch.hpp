// The Python face of kernel launches: accel_ascend._native.launch. device_kernels.py is its caller.
#pragma once

#include <pybind11/pybind11.h>

namespace accel_ascend {

void bind_launch(pybind11::module_& module);

}  // namespace accel_ascend
