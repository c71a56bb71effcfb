#include "bind_launch.hpp"

#include <accel/cache_memory.hpp>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>

#include "../bindings/bindings.hpp"
#include "copy_plan.hpp"
#include "kernel_library.hpp"

namespace accel_ascend {
namespace {

namespace py = pybind11;
using launch::CopyCall;
using launch::CopyPlan;
using launch::IndexArgument;
using launch::KernelLibrary;
using py::literals::operator""_a;

// (address, stride in elements, int64 rather than int32, on the device), or None to count.
using GivenList = std::optional<std::tuple<std::uintptr_t, std::int64_t, bool, bool>>;

IndexArgument list_of(const GivenList& given, std::int64_t argument) {
  IndexArgument list;
  list.argument = argument;
  if (!given) return list;
  const auto& [data, stride, wide, on_device] = *given;
  list.where = on_device ? IndexArgument::Where::Device : IndexArgument::Where::Host;
  list.data = data;
  list.stride = stride;
  list.wide = wide;
  return list;
}

int copy(const KernelLibrary& library, const CopyPlan& plan, std::uintptr_t stream,
         const GivenList& src, const GivenList& dst, std::int64_t units, std::uintptr_t fault,
         std::int64_t fault_kind, std::uintptr_t count) {
  CopyCall call;
  call.src = list_of(src, ACCEL_ASCEND_ARGUMENT_SRC);
  call.dst = list_of(dst, ACCEL_ASCEND_ARGUMENT_DST);
  call.units = units;
  call.fault = fault;
  call.fault_kind = fault_kind;
  call.count = count;
  call.cores = library.cores();
  int launches = 0;
  py::gil_scoped_release unlocked;
  plan.pack(call, [&](std::uint32_t cores, const std::vector<std::uint8_t>& args) {
    library.launch("accel_kv_copy", cores, args, reinterpret_cast<StreamHandle>(stream));
    ++launches;
  });
  return launches;
}

}  // namespace

void bind_launch(py::module_& module) {
  py::module_ m = module.def_submodule("launch", "AscendC kernels, launched through ACL.");
  py::class_<KernelLibrary>(m, "KernelLibrary", "A binary of kernels on one device.")
      .def(py::init<int, const std::string&, const std::vector<std::string>&>(),
           "device_index"_a, "path"_a, "kernels"_a)
      .def_property_readonly("cores", &KernelLibrary::cores);
  py::class_<CopyPlan>(m, "CopyPlan", "A strided copy between two caches on the device.")
      .def(py::init([](std::int64_t layers, const py::bytes& planes,
                       std::vector<launch::Address> src, std::vector<launch::Address> dst,
                       std::int64_t src_units, std::int64_t dst_units) {
             return CopyPlan(layers,
                             accel::unpack_plan<accel_kv_plane>(std::string_view(planes)),
                             std::move(src), std::move(dst), src_units, dst_units);
           }),
           "layers"_a, "planes"_a, "src_pointers"_a, "dst_pointers"_a, "src_units"_a,
           "dst_units"_a)
      .def_property_readonly("one_core", &CopyPlan::one_core)
      .def_property_readonly("unit_bytes", &CopyPlan::unit_bytes);
  m.def("copy", &copy, "library"_a, "plan"_a, "stream"_a, "src"_a, "dst"_a, "units"_a,
        "fault"_a = 0, "fault_kind"_a = int{ACCEL_ASCEND_FAULT_SLOT}, "count"_a = 0,
        "Give the copy of `units` units to a stream; returns how many launches it took. `fault` is "
        "the address of FAULT_BYTES for each of the library's cores, or 0.");
  m.attr("FAULT_BYTES") = int{ACCEL_ASCEND_FAULT_BYTES};
  m.attr("FAULT_SLOT") = int{ACCEL_ASCEND_FAULT_SLOT};
  m.attr("FAULT_BLOCK") = int{ACCEL_ASCEND_FAULT_BLOCK};
}

}  // namespace accel_ascend
