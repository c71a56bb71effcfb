// Failures of the vendor's runtime as exceptions of accel.errors and of the plugin's `errors`.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <string>

#include "../raise_faults.hpp"
#include "runtime.hpp"

namespace accel {

namespace detail {

inline void set_error(const pybind11::object& error) {
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
}

inline void set_runtime_fault(const RuntimeFault& fault) {
  namespace py = pybind11;
  const std::string what = fault.what();
  if (fault.kind == RuntimeFault::Kind::OutOfMemory) {
    fail_message("OutOfMemoryError", fault.cure.empty() ? what : what + ". Cure: " + fault.cure);
  }
  const bool failed = fault.kind == RuntimeFault::Kind::DeviceFailed;
  const DeviceRuntime::Names& names = runtime().names();
  const py::module_ errors = py::module_::import((std::string(names.package) + ".errors").c_str());
  const char* const name = failed ? "DeviceFailedError" : names.error;
  set_error(errors.attr(name)(what, fault.call, fault.code, fault.cure));
}

inline void set_missing(const RuntimeMissing& missing) {
  const auto errors = pybind11::module_::import("accel.errors");
  set_error(errors.attr("BackendUnavailableError")(std::string(missing.what()), missing.cure));
}

// `set` sets Python's error; so does whatever it throws.
template <class Set, class Thrown>
void set_from(const Set& set, const Thrown& thrown) {
  try {
    set(thrown);
  } catch (const ErrorSet&) {
  } catch (pybind11::error_already_set& failed) {
    failed.restore();
  }
}

inline void translate_faults(std::exception_ptr thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const ErrorSet&) {
    // The Python error is set already.
  } catch (const RuntimeMissing& missing) {
    set_from(set_missing, missing);
  } catch (const RuntimeFault& fault) {
    set_from(set_runtime_fault, fault);
  } catch (const Fault& fault) {
    set_from([](const Fault& f) { raise(f); }, fault);
  } catch (const ArgumentFault& fault) {
    set_from([](const ArgumentFault& f) { raise(f); }, fault);
  }
}

}  // namespace detail

// Once a module. Local to it: another plugin in this process names its own package.
inline void bind_faults() {
  pybind11::register_local_exception_translator(detail::translate_faults);
}

}  // namespace accel
