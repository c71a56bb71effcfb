// Turns the runtime's C++ exceptions into accel.errors classes.

#include <accel/errors.hpp>
#include <accel/raise_faults.hpp>

#include <memory>
#include <new>
#include <string>

#include "../runtime/fault.hpp"
#include "bindings.hpp"
#include "keepalive.hpp"

namespace py = pybind11;

namespace accel_cpu {
namespace {

// Holds the exception object; copying it shares the reference, and any thread may drop the last.
class PythonFailure : public std::exception {
 public:
  explicit PythonFailure(PyObject* owned)
      : held_(std::make_shared<Keepalive>(std::vector<PyObject*>{owned})) {}
  const char* what() const noexcept override { return "a Python callback raised"; }
  PyObject* exception() const { return held_->first(); }

 private:
  std::shared_ptr<Keepalive> held_;
};

// Sets the Python error for `error`, whatever it is.
void set_python_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const PythonFailure& failure) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(failure.exception())), failure.exception());
  } catch (const Fault& fault) {
    accel::raise(fault);
  } catch (const ArgumentFault& fault) {
    accel::raise(fault);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& other) {
    PyErr_SetString(PyExc_RuntimeError, other.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "an unknown C++ exception");
  }
}

void raise_async_error(const WorkFailed& failed) {
  try {
    set_python_error(failed.first);
  } catch (const accel::ErrorSet&) {
  }
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  std::string message = "work on the stream failed: " + accel::describe(value);
  if (failed.count > 1) {
    message += " (the first of " + std::to_string(failed.count) + " failures)";
  }
  PyErr_Restore(type, value, traceback);
  accel::fail_message("AsyncError", message);  // what is set becomes its cause
}

void translate(std::exception_ptr pointer) {
  if (!pointer) return;
  try {
    try {
      std::rethrow_exception(pointer);
    } catch (const WorkFailed& failed) {
      raise_async_error(failed);
    } catch (const Fault&) {
      set_python_error(pointer);
    } catch (const ArgumentFault&) {
      set_python_error(pointer);
    } catch (const PythonFailure&) {
      set_python_error(pointer);
    }
  } catch (const accel::ErrorSet&) {
  }
}

}  // namespace

std::exception_ptr take_python_error() {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return std::make_exception_ptr(PythonFailure(value));
}

py::object cpu_device() {
  static PyObject* device = nullptr;
  if (device == nullptr) {
    device = py::module_::import("torch").attr("device")("cpu").release().ptr();
  }
  return py::reinterpret_borrow<py::object>(device);
}

void bind_faults(py::module_&) { py::register_exception_translator(translate); }

}  // namespace accel_cpu
