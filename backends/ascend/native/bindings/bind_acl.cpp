// Opening ACL, and what it has.

#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "../acl/error.hpp"
#include "bindings.hpp"

namespace accel_ascend {
namespace {

namespace py = pybind11;
using py::literals::operator""_a;

constexpr const char* kInstall =
    "install CANN and make it known to this shell: source "
    "/usr/local/Ascend/ascend-toolkit/set_env.sh";

}  // namespace

void bind_acl(py::module_& module) {
  module.def(
      "open_acl",
      [](const std::vector<std::string>& names) {
        py::gil_scoped_release unlocked;
        AclLibrary::open(names, "CANN's libascendcl", kInstall, "install CANN 8.0 or newer");
      },
      "names"_a, "Open the first of these libraries that is there; once.");
  module.def("acl_is_open", &AclLibrary::is_open);
  module.def(
      "describe_acl",
      [] {
        const char* soc = acl().soc_name != nullptr ? acl().soc_name() : nullptr;
        const char* simulator = acl().simulator != nullptr ? acl().simulator() : nullptr;
        return py::dict("library"_a = acl().name, "cann"_a = cann_version(),
                        "soc"_a = soc == nullptr ? "" : soc,
                        "simulator"_a = simulator == nullptr ? "" : simulator,
                        "missing"_a = acl().missing_optional());
      },
      "What was opened: library, CANN's version, chip, and the entries that it lacks.");
}

}  // namespace accel_ascend
