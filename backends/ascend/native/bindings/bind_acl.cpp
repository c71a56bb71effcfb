// Opening ACL, what it has, and its failures as exceptions of accel.errors.

#include <accel/raise_faults.hpp>
#include <pybind11/stl.h>

#include "../acl/device.hpp"
#include "bindings.hpp"

namespace accel_ascend {
namespace {

namespace py = pybind11;
using py::literals::operator""_a;

void raise_fault(const AclFault& fault) {
  const std::string cure = cure_of(fault.code);
  const std::string message =
      std::string(fault.what()) + (cure.empty() ? "" : ". Cure: " + cure);
  if (is_out_of_memory(fault.code)) accel::fail_message("OutOfMemoryError", message);
  const py::module_ errors = py::module_::import("accel_ascend.errors");
  const char* name = is_device_error(fault.code) ? "DeviceFailedError" : "AclError";
  const py::object error =
      errors.attr(name)(std::string(fault.what()), fault.call, fault.code, cure);
  PyErr_SetObject(error.get_type().ptr(), error.ptr());
}

void translate(std::exception_ptr thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const accel::ErrorSet&) {
    // The Python error is set already.
  } catch (const AclMissing& missing) {
    try {
      const py::module_ errors = py::module_::import("accel.errors");
      const py::object error = errors.attr("BackendUnavailableError")(
          std::string(missing.what()), missing.cure);
      PyErr_SetObject(error.get_type().ptr(), error.ptr());
    } catch (py::error_already_set& failed) {
      failed.restore();
    }
  } catch (const AclFault& fault) {
    try {
      raise_fault(fault);
    } catch (const accel::ErrorSet&) {
    } catch (py::error_already_set& failed) {
      failed.restore();
    }
  } catch (const accel::Fault& fault) {
    try {
      accel::raise(fault);
    } catch (const accel::ErrorSet&) {
    }
  } catch (const accel::ArgumentFault& fault) {
    try {
      accel::raise(fault);
    } catch (const accel::ErrorSet&) {
    }
  }
}

}  // namespace

void bind_acl(py::module_& module) {
  py::register_exception_translator(translate);
  module.def(
      "open_acl",
      [](const std::vector<std::string>& names) {
        py::gil_scoped_release unlocked;
        open_acl(names);
      },
      "names"_a, "Open the first of these libraries that is there; once.");
  module.def("acl_is_open", &acl_is_open);
  module.def(
      "describe_acl",
      [] {
        const char* soc = acl().soc_name != nullptr ? acl().soc_name() : nullptr;
        const char* simulator = acl().simulator != nullptr ? acl().simulator() : nullptr;
        return py::dict("library"_a = acl().library, "cann"_a = cann_version(),
                        "soc"_a = soc == nullptr ? "" : soc,
                        "simulator"_a = simulator == nullptr ? "" : simulator,
                        "missing"_a = missing_entries());
      },
      "What was opened: library, CANN's version, chip, and the entries that it lacks.");
  module.def("device_count", [] {
    std::uint32_t count = 0;
    ACCEL_ACL_CALL(get_device_count, &count);
    return count;
  });
  module.def(
      "can_access_peer",
      [](int from, int to) {
        if (acl().can_access_peer == nullptr) return true;  // older CANN does not say
        std::int32_t possible = 0;
        return acl().can_access_peer(&possible, from, to) == kSuccess && possible != 0;
      },
      "device_index"_a, "peer_index"_a);
}

}  // namespace accel_ascend
