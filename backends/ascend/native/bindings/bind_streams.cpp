// What a stream of torch_npu needs beside torch_npu: host callbacks, and references that its work
// keeps.

#include <accel/errors.hpp>

#include "../runtime/host_functions.hpp"
#include "bindings.hpp"

namespace accel_ascend {
namespace {

namespace py = pybind11;
using py::literals::operator""_a;

StreamState& state_of(int device, std::uintptr_t handle) {
  return StreamState::of(device, reinterpret_cast<StreamHandle>(handle));
}

}  // namespace

void bind_streams(py::module_& module) {
  module.def("has_host_functions", &has_host_functions);
  module.def(
      "launch_host_function",
      [](int device, std::uintptr_t handle, const py::object& run) {
        launch_python(state_of(device, handle), run.ptr());
      },
      "device_index"_a, "handle"_a, "run"_a,
      "Call run() once the stream gets there; its later work waits.");
  module.def(
      "keep",
      [](int device, std::uintptr_t handle, const py::args& objects) {
        std::vector<PyObject*> all;
        for (py::handle object : objects) all.push_back(object.ptr());
        state_of(device, handle).kept.keep(all.data(), all.size());
      },
      "Keep objects alive until the stream has run what it has now.");
  module.def(
      "release_passed",
      [](int device, std::uintptr_t handle) { state_of(device, handle).kept.release_passed(); },
      "device_index"_a, "handle"_a, "Let go of what the stream's finished work kept.");
  module.def("held_references", &StreamState::count_kept,
             "References that wait for work to complete, for tests.");
  module.def("finish_functions", &finish_functions,
             "Wait for host callbacks; called when the program ends.");
  // No callback may touch an interpreter that is going away.
  py::module_::import("atexit").attr("register")(module.attr("finish_functions"));
}

}  // namespace accel_ascend
