// What a stream of torch needs beside torch: host callbacks, and references that its work keeps.
#pragma once

#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "host_functions.hpp"

namespace accel {

namespace detail {

using Given = std::vector<std::pair<std::uintptr_t, std::uint64_t>>;

inline StreamState& state_of(int device, std::uintptr_t handle) {
  return StreamState::of(device, reinterpret_cast<StreamHandle>(handle));
}

inline Given given_to(int device, const std::optional<std::uintptr_t>& handle) {
  Given all;
  const auto add = [&](const StreamState& state) {
    all.emplace_back(reinterpret_cast<std::uintptr_t>(state.handle), state.marks->given());
  };
  if (handle.has_value()) {
    add(state_of(device, *handle));
  } else {
    for (const StreamState* state : StreamState::all_of(device)) add(*state);
  }
  return all;
}

inline void have_passed(int device, const Given& all) {
  for (const auto& [handle, place] : all) {
    StreamState& state = state_of(device, handle);
    state.marks->pass(place);
    state.kept.release_passed();
  }
}

}  // namespace detail

inline void bind_streams(pybind11::module_& module) {
  namespace py = pybind11;
  using py::literals::operator""_a;
  module.def("has_host_functions", [] { return runtime().calls_host(); });
  module.def(
      "launch_host_function",
      [](int device, std::uintptr_t handle, const py::object& run) {
        HostFunctions::launch_python(detail::state_of(device, handle), run.ptr());
      },
      "device_index"_a, "handle"_a, "run"_a,
      "Call run() once the stream gets there; its later work waits.");
  module.def(
      "keep",
      [](int device, std::uintptr_t handle, const py::args& objects) {
        std::vector<PyObject*> all;
        for (py::handle object : objects) all.push_back(object.ptr());
        detail::state_of(device, handle).kept.keep(all.data(), all.size());
      },
      "Keep objects alive until the stream has run what it has now.");
  module.def("given", &detail::given_to, "device_index"_a, "handle"_a,
             "How much a stream (None: every stream of the device) was given, for `passed`.");
  module.def("passed", &detail::have_passed, "device_index"_a, "given"_a,
             "The host has waited for all of it: let go of what it kept.");
  module.def("held_references", &StreamState::count_kept,
             "References that wait for work to complete, for tests.");
  module.def("finish_functions", &HostFunctions::finish,
             "Wait for host callbacks; called when the program ends.");
  // No callback may touch an interpreter that is going away.
  py::module_::import("atexit").attr("register")(module.attr("finish_functions"));
}

}  // namespace accel
