// _torch_mlu: what the Python package torch_mlu asks that torch's own general API does not give.
#include <torch/csrc/Generator.h>
#include <torch/csrc/utils/pybind.h>

#include <accel_sim_cnrt/cnrt.h>

#include "events.hpp"
#include "generator.hpp"
#include "torch_mlu/allocator.hpp"
#include "torch_mlu/devices.hpp"
#include "torch_mlu/streams.hpp"

namespace py = pybind11;

namespace torch_mlu {
namespace {

using Released = py::call_guard<py::gil_scoped_release>;

c10::Stream stream(c10::DeviceIndex device, c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, device_at(device), id);
}

std::uintptr_t number(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }
void* pointer(std::uintptr_t number) { return reinterpret_cast<void*>(number); }

py::dict statistics(c10::DeviceIndex device) {
  const auto stats = device_allocator().getDeviceStats(device);
  py::dict all;
  const auto put = [&](const std::string& name, const c10::CachingAllocator::StatArray& stat) {
    const auto& sums = stat[0];
    all[py::str(name + ".all.current")] = sums.current;
    all[py::str(name + ".all.peak")] = sums.peak;
    all[py::str(name + ".all.allocated")] = sums.allocated;
    all[py::str(name + ".all.freed")] = sums.freed;
  };
  put("allocation", stats.allocation);
  put("allocated_bytes", stats.allocated_bytes);
  put("reserved_bytes", stats.reserved_bytes);
  put("segment", stats.segment);
  all["num_alloc_retries"] = stats.num_alloc_retries;
  all["num_ooms"] = stats.num_ooms;
  return all;
}

bool peers(int device, int peer) {
  unsigned int can = 0;
  return cnrtGetPeerAccessibility(&can, device, peer) == cnrtSuccess && can != 0;
}

py::object python_generator(c10::DeviceIndex device) {
  return py::reinterpret_steal<py::object>(THPGenerator_initDefaultGenerator(
      default_generator(device)));
}

}  // namespace
}  // namespace torch_mlu

PYBIND11_MODULE(_torch_mlu, module) {
  using namespace torch_mlu;
  using Index = c10::DeviceIndex;
  using Id = c10::StreamId;

  module.def("device_count", &device_count);
  module.def("current_device", &current_device);
  module.def("set_device", &set_device);
  module.def("exchange_device", &exchange_device);
  module.def("synchronize", &synchronize_device, Released());
  module.def("peers", &peers);

  module.def("current_stream", [](Index device) { return current_stream(device).id(); });
  module.def("exchange_stream",
             [](Index device, Id id) { return exchange_stream(stream(device, id)).id(); });
  module.def("external_stream", [](Index device, std::uintptr_t queue) {
    return external_stream(device, pointer(queue)).id();
  });
  module.def("queue", [](Index device, Id id) { return number(queue_of(stream(device, id))); });
  module.def("priority", [](Index device, Id id) { return priority_of(stream(device, id)); });

  module.def("elapsed_ms", [](std::uintptr_t start, std::uintptr_t end) {
    return elapsed_ms(pointer(start), pointer(end));
  });
  module.def("hardware_us", [](std::uintptr_t start, std::uintptr_t end) {
    return elapsed_hardware_us(pointer(start), pointer(end));
  });

  module.def("memory_info", [](Index device) { return device_allocator().getMemoryInfo(device); });
  module.def("memory_statistics", &statistics);
  module.def("reset_peaks", [](Index device) { device_allocator().resetPeakStats(device); });
  module.def("reset_totals", [](Index device) { device_allocator().resetAccumulatedStats(device); });
  module.def("empty_cache", [] { device_allocator().emptyCache({0, 0}); }, Released());
  module.def("empty_host_cache", &empty_pinned_cache, Released());
  module.def("default_generator", &python_generator);
}
