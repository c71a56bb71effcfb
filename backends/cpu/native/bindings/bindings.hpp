// The parts of the module _native, one function each, and what they share.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <exception>

namespace accel_cpu {

void bind_faults(pybind11::module_& module);
void bind_streams(pybind11::module_& module);
void bind_events(pybind11::module_& module);
void bind_pinned(pybind11::module_& module);
void bind_memcpy(pybind11::module_& module);
void bind_quantize(pybind11::module_& module);

// torch.device("cpu"). Imports torch on the first call.
pybind11::object cpu_device();

// An exception that a Python callback raised, carried through C++ without the GIL.
std::exception_ptr take_python_error();

// Calls step(limit), which blocks for at most its argument and returns true when done, without the
// GIL, until it is done. In between Python's signal handlers run, so Ctrl-C is honoured.
template <class Step>
void wait_interruptibly(Step step) {
  constexpr auto kSlice = std::chrono::milliseconds(100);
  for (;;) {
    {
      pybind11::gil_scoped_release unlocked;
      if (step(std::chrono::nanoseconds(kSlice))) return;
    }
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
  }
}

}  // namespace accel_cpu
