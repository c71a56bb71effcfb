// accel.warn_once from C++. The GIL must be held.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

namespace accel {

inline void say_once(const std::string& message) {
  pybind11::module_::import("accel.warn_once").attr("warn_once")(message);
}

}  // namespace accel
