// Turns the driver's C++ exceptions into Python's.

#include <accel/errors.hpp>
#include <accel/raise_faults.hpp>

#include "bindings.hpp"
#include "driver/error.hpp"

namespace py = pybind11;

namespace accel_cuda {
namespace {

// Raises accel_cuda.errors.<name>(message, call, code, name, cure).
[[noreturn]] void raise_driver_error(const char* name, const std::string& message,
                                     const DriverFault& fault, const std::string& cure) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  accel::Ref module = accel::checked(PyImport_ImportModule("accel_cuda.errors"));
  accel::Ref cls = accel::checked(PyObject_GetAttrString(module.get(), name));
  accel::Ref instance = accel::checked(
      PyObject_CallFunction(cls.get(), "ssiss", message.c_str(), fault.call.c_str(), fault.code,
                            fault.name.c_str(), cure.c_str()));
  PyErr_Restore(type, value, traceback);
  accel::detail::raise_instance(cls.get(), std::move(instance));
}

[[noreturn]] void raise_fault(const DriverFault& fault) {
  const std::string cure = cure_of(fault.code);
  const std::string message = fault.what();
  const std::string full = cure.empty() ? message : message + ". Cure: " + cure;
  if (is_sticky(fault.code)) {
    raise_driver_error("ContextLostError",
                       message + ": an earlier kernel or copy of this process failed, and the "
                                 "device context with all its memory is lost",
                       fault, cure);
  }
  switch (fault.code) {
    case kOutOfMemory: accel::fail_message("OutOfMemoryError", full);
    case kNotReady: accel::fail_message("NotReadyError", full);
    case kInvalidHandle:
      accel::fail("ArgumentError", "handle", "a live handle of this process and device",
                  message, "keep the stream or event alive while it is used");
    case kCaptureUnsupported:
    case kCaptureInvalidated:
    case 902:
    case 903:
    case 904:
    case 905:
    case kCaptureImplicit:
    case kCapturedEvent:
    case 908: accel::fail_message("StateError", full);
    default: raise_driver_error("DriverError", message, fault, cure);
  }
}

void translate(std::exception_ptr pointer) {
  if (!pointer) return;
  try {
    try {
      std::rethrow_exception(pointer);
    } catch (const DriverFault& fault) {
      raise_fault(fault);
    } catch (const accel::Fault& fault) {
      accel::raise(fault);
    } catch (const accel::ArgumentFault& fault) {
      accel::raise(fault);
    } catch (const DriverMissing& missing) {
      accel::Ref cls = accel::error_class("BackendUnavailableError");
      accel::Ref instance = accel::checked(
          PyObject_CallFunction(cls.get(), "ss", missing.what(), missing.cure.c_str()));
      accel::detail::raise_instance(cls.get(), std::move(instance));
    }
  } catch (const accel::ErrorSet&) {
  }
}

}  // namespace

py::object torch_device(int index) {
  return py::module_::import("torch").attr("device")("cuda", index);
}

void bind_faults(py::module_&) { py::register_exception_translator(translate); }

}  // namespace accel_cuda
