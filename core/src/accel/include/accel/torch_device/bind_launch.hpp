// The Python face of KV copies by kernels, for a plugin's native module: KernelLibrary, CopyPlan and
// copy(). accel.torch_device.device_kernels is its caller.
//
// A Library is the vendor's: Library(int device, path, names of kernels), cores(), and
// launch(kernel, cores, arguments, stream handle).
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "../cache_memory.hpp"
#include "../kv_copy_plan.hpp"

namespace accel {

// (address, stride in elements, int64 rather than int32, on the device), or None to count.
using GivenList = std::optional<std::tuple<std::uintptr_t, std::int64_t, bool, bool>>;

inline KvIndexArgument index_argument(const GivenList& given, std::int64_t argument) {
  KvIndexArgument list;
  list.argument = argument;
  if (!given) return list;
  const auto& [data, stride, wide, on_device] = *given;
  list.where = on_device ? KvIndexArgument::Where::Device : KvIndexArgument::Where::Host;
  list.data = data;
  list.stride = stride;
  list.wide = wide;
  return list;
}

template <class Library>
void bind_kernel_launches(pybind11::module_& m, KvCopyLimits limits) {
  namespace py = pybind11;
  using py::literals::operator""_a;
  py::class_<Library>(m, "KernelLibrary", py::module_local(),
                      "A binary of kernels on one device.")
      .def(py::init<int, const std::string&, const std::vector<std::string>&>(),
           "device_index"_a, "path"_a, "kernels"_a)
      .def_property_readonly("cores", &Library::cores);
  py::class_<KvCopyPlan>(m, "CopyPlan", py::module_local(),
                         "A strided copy between two caches on the device.")
      .def(py::init([limits](std::int64_t layers, const py::bytes& planes,
                             std::vector<std::uint64_t> src, std::vector<std::uint64_t> dst,
                             std::int64_t src_units, std::int64_t dst_units) {
             return KvCopyPlan(layers, unpack_plan<accel_kv_plane>(std::string_view(planes)),
                               std::move(src), std::move(dst), src_units, dst_units, limits);
           }),
           "layers"_a, "planes"_a, "src_pointers"_a, "dst_pointers"_a, "src_units"_a,
           "dst_units"_a)
      .def_property_readonly("one_core", &KvCopyPlan::one_core)
      .def_property_readonly("unit_bytes", &KvCopyPlan::unit_bytes);
  m.def(
      "copy",
      [](const Library& library, const KvCopyPlan& plan, std::uintptr_t stream,
         const GivenList& src, const GivenList& dst, std::int64_t units, std::uintptr_t fault,
         std::int64_t fault_kind, std::uintptr_t count) {
        KvCopyCall call;
        call.src = index_argument(src, ACCEL_KV_ARGUMENT_SRC);
        call.dst = index_argument(dst, ACCEL_KV_ARGUMENT_DST);
        call.units = units;
        call.fault = fault;
        call.fault_kind = fault_kind;
        call.count = count;
        call.cores = library.cores();
        int launches = 0;
        py::gil_scoped_release unlocked;
        plan.pack(call, [&](std::uint32_t cores, const std::vector<std::uint8_t>& args) {
          library.launch("accel_kv_copy", cores, args, stream);
          ++launches;
        });
        return launches;
      },
      "library"_a, "plan"_a, "stream"_a, "src"_a, "dst"_a, "units"_a, "fault"_a = 0,
      "fault_kind"_a = int{ACCEL_KV_FAULT_SLOT}, "count"_a = 0,
      "Give the copy of `units` units to a stream; returns how many launches it took. `fault` is "
      "the address of FAULT_BYTES for each of the library's cores, or 0.");
  m.attr("FAULT_BYTES") = int{ACCEL_KV_FAULT_BYTES};
  m.attr("FAULT_SLOT") = int{ACCEL_KV_FAULT_SLOT};
  m.attr("FAULT_BLOCK") = int{ACCEL_KV_FAULT_BLOCK};
}

}  // namespace accel
