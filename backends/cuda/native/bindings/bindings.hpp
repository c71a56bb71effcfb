// The parts of the module _native, one function each, and what they share.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>

namespace accel_cuda {

void bind_faults(pybind11::module_& module);
void bind_driver(pybind11::module_& module);
void bind_events(pybind11::module_& module);
void bind_streams(pybind11::module_& module);
void bind_pinned(pybind11::module_& module);
void bind_memcpy(pybind11::module_& module);

// torch.device("cuda", index). Imports torch on the first call.
pybind11::object torch_device(int index);

}  // namespace accel_cuda
