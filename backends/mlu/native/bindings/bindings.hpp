// The parts of the module _native, one function each.
#pragma once

#include <pybind11/pybind11.h>

namespace accel_mlu {

void bind_cnrt(pybind11::module_& module);
void bind_device(pybind11::module_& module);
void bind_launch(pybind11::module_& module);

}  // namespace accel_mlu
