// The driver, devices, and kernels for Python.

#include <accel/errors.hpp>

#include "bindings.hpp"
#include "driver/launch.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cuda {
namespace {

void open(const std::string& vendor, const std::string& path) {
  if (vendor != "cuda" && vendor != "hip") {
    accel::fail("ArgumentError", "vendor", "'cuda' or 'hip'", vendor);
  }
  py::gil_scoped_release unlocked;
  open_driver(vendor == "cuda" ? Vendor::Cuda : Vendor::Hip, path);
}

py::dict describe_driver() {
  py::dict result;
  result["vendor"] = driver().vendor == Vendor::Cuda ? "cuda" : "hip";
  result["library"] = driver().library;
  result["version"] = driver().version;
  py::list missing;
  const Vendor vendor = driver().vendor;
#define ACCEL_CUDA_MISSING(member, arguments, cuda, hip)                                \
  if (driver().member == nullptr && (vendor == Vendor::Cuda ? cuda : hip) != nullptr) { \
    missing.append(#member);                                                            \
  }
  ACCEL_CUDA_OPTIONAL_ENTRIES(ACCEL_CUDA_MISSING)
#undef ACCEL_CUDA_MISSING
  result["missing"] = missing;
  return result;
}

py::dict properties(int index) {
  const Device& device = Device::get(index);
  const Device::Properties& p = device.properties();
  py::dict result;
  result["name"] = device.name();
  result["pci_bus_id"] = device.pci_bus_id();
  result["multiprocessors"] = p.multiprocessors;
  result["warp_size"] = p.warp_size;
  result["major"] = p.major;
  result["minor"] = p.minor;
  result["max_threads_per_block"] = p.max_threads_per_block;
  result["max_threads_per_multiprocessor"] = p.max_threads_per_multiprocessor;
  result["shared_per_block"] = p.shared_per_block;
  result["shared_per_block_opt_in"] = p.shared_per_block_opt_in;
  result["shared_per_multiprocessor"] = p.shared_per_multiprocessor;
  result["l2_bytes"] = p.l2_bytes;
  result["copy_engines"] = p.copy_engines;
  result["host_numa_node"] = p.host_numa_node;
  return result;
}

void set_properties(int index, const py::dict& given) {
  Device& device = Device::get(index);
  Device::Properties p = device.properties();
  const auto take = [&](const char* name, int& value) {
    if (given.contains(name)) value = given[name].cast<int>();
  };
  take("multiprocessors", p.multiprocessors);
  take("warp_size", p.warp_size);
  take("major", p.major);
  take("minor", p.minor);
  take("max_threads_per_block", p.max_threads_per_block);
  take("max_threads_per_multiprocessor", p.max_threads_per_multiprocessor);
  take("shared_per_block", p.shared_per_block);
  take("shared_per_block_opt_in", p.shared_per_block_opt_in);
  take("shared_per_multiprocessor", p.shared_per_multiprocessor);
  take("l2_bytes", p.l2_bytes);
  take("copy_engines", p.copy_engines);
  take("host_numa_node", p.host_numa_node);
  device.set_properties(p);
}

std::uintptr_t load(int index, const py::bytes& cubin) {
  const Device& device = Device::get(index);
  const std::string image = cubin;
  py::gil_scoped_release unlocked;
  return reinterpret_cast<std::uintptr_t>(load_module(device, image));
}

std::uintptr_t function(std::uintptr_t module, const std::string& name, int index,
                        unsigned dynamic_shared) {
  const Device& device = Device::get(index);
  py::gil_scoped_release unlocked;
  return reinterpret_cast<std::uintptr_t>(find_function(
      device, reinterpret_cast<ModuleHandle>(module), name.c_str(), dynamic_shared));
}

}  // namespace

void bind_driver(py::module_& module) {
  module.def("open_driver", &open, "vendor"_a, "path"_a = "",
             "Open the driver library and initialise it; later calls in the process do nothing.");
  module.def("driver_is_open", &driver_is_open);
  module.def("describe_driver", &describe_driver,
             "vendor, library, version, and the optional entries that it lacks.");
  module.def("device_count", [] { return Device::count(); });
  module.def("device_properties", &properties, "device_index"_a,
             "What kernels are sized by: multiprocessors, shared memory, caches, ...");
  module.def("set_device_properties", &set_properties, "device_index"_a, "properties"_a,
             "Give what the driver does not say (HIP); names as device_properties has them.");
  module.def("load_module", &load, "device_index"_a, "cubin"_a,
             "Load a compiled kernel file into the device's context; a handle for `function`.");
  module.def("function", &function, "module"_a, "name"_a, "device_index"_a = 0,
             "dynamic_shared"_a = 0,
             "The kernel `name` of a loaded module, as a handle that launches take.");
  module.def(
      "resident_blocks",
      [](int index, std::uintptr_t kernel, unsigned block, unsigned shared_bytes) {
        return resident_blocks(Device::get(index), reinterpret_cast<Function>(kernel), block,
                               shared_bytes);
      },
      "device_index"_a, "function"_a, "block"_a, "shared_bytes"_a = 0,
      "Blocks of a kernel that fit one multiprocessor at once.");
}

}  // namespace accel_cuda
