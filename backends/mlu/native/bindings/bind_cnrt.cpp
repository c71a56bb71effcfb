// Opening CNRT, and what it has.

#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "../cnrt/error.hpp"
#include "bindings.hpp"

namespace accel_mlu {
namespace {

namespace py = pybind11;

void open(const std::vector<std::string>& names) {
  py::gil_scoped_release unlocked;
  CnrtLibrary::open(names, "Cambricon's libcnrt",
                    "install Neuware and make it known to this shell: export "
                    "LD_LIBRARY_PATH=/usr/local/neuware/lib64:$LD_LIBRARY_PATH",
                    "install Neuware with CNRT 6.0 or newer");
}

// "6.14.1"; empty where it does not say.
std::string version() {
  int major = 0, minor = 0, patch = 0;
  if (cnrt().lib_version == nullptr || cnrt().lib_version(&major, &minor, &patch) != kSuccess) {
    return {};
  }
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

py::dict describe() {
  const char* const name = cnrt().simulator == nullptr ? nullptr : cnrt().simulator();
  py::dict all;
  all["library"] = cnrt().name;
  all["version"] = version();
  all["simulator"] = name == nullptr ? "" : name;
  all["missing"] = cnrt().missing_optional();
  return all;
}

// (least, greatest) as CNRT has it, [7, 0]; (0, 0) where it has one.
std::pair<int, int> queue_priorities(int device) {
  int least = 0, greatest = 0;
  accel::OnDevice current(device);
  if (cnrt().priority_range == nullptr || cnrt().priority_range(&least, &greatest) != kSuccess) {
    return {0, 0};
  }
  return {least, greatest};
}

std::uintptr_t create_queue(int device, int priority) {
  if (cnrt().queue_create == nullptr) {
    throw accel::RuntimeMissing("this CNRT has no cnrtQueueCreateWithPriority", "upgrade Neuware");
  }
  accel::OnDevice current(device);
  StreamHandle queue = nullptr;
  ACCEL_CNRT_CALL(queue_create, &queue, 0, priority);
  return reinterpret_cast<std::uintptr_t>(queue);
}

// An attribute of a device by CNRT's number; 0 where CNRT does not say.
int attribute(int device, int which) {
  int value = 0;
  if (cnrt().device_attribute == nullptr ||
      cnrt().device_attribute(&value, which, device) != kSuccess) {
    return 0;
  }
  return value;
}

int queue_priority(std::uintptr_t queue) {
  int priority = 0;
  if (cnrt().queue_priority != nullptr) {
    ACCEL_CNRT_CALL(queue_priority, reinterpret_cast<StreamHandle>(queue), &priority);
  }
  return priority;
}

}  // namespace

void bind_cnrt(py::module_& module) {
  module.def("open_cnrt", &open, py::arg("names"),
             "Open the first of these libraries that is there; once.");
  module.def("cnrt_is_open", &CnrtLibrary::is_open);
  module.def("describe_cnrt", &describe,
             "What was opened: library, version, simulator, and the entries that it lacks.");
  module.def("queue_priorities", &queue_priorities, py::arg("device_index"));
  module.def("create_queue", &create_queue, py::arg("device_index"), py::arg("priority"),
             "A queue that is never destroyed.");
  module.def("device_attribute", &attribute, py::arg("device_index"), py::arg("attribute"),
             "By CNRT's number; 0 where CNRT does not say.");
  module.def("queue_priority", &queue_priority, py::arg("handle"));
}

}  // namespace accel_mlu
