// The Python face of KV movement: accel_cuda._native.kv. accel_cuda/kv_movement.py is its caller.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <accel/errors.hpp>
#include <accel/tensor_words.hpp>
#include <algorithm>
#include <cstring>
#include <tuple>

#include "bindings/bindings.hpp"
#include "calls.hpp"
#include "gather.hpp"
#include "host_transfer.hpp"
#include "list_arguments.hpp"
#include "runtime/stream.hpp"
#include "stretches.hpp"
#include "uploads.hpp"
#include "writer.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cuda::kv {
namespace {

using accel::fail;
using accel::TensorView;

constexpr CallNames kTransfer{"src",
                              "dst",
                              "src_slots",
                              "dst_slots",
                              ACCEL_FAULT_ARG_SRC,
                              ACCEL_FAULT_ARG_DST,
                              ACCEL_FAULT_SLOT};
constexpr CallNames kSwap{"src",
                          "dst",
                          "block_mapping[:, 0]",
                          "block_mapping[:, 1]",
                          ACCEL_FAULT_ARG_SRC,
                          ACCEL_FAULT_ARG_DST,
                          ACCEL_FAULT_BLOCK};
constexpr CallNames kCopy{"cache",
                          "cache",
                          "block_mapping[:, 0]",
                          "block_mapping[:, 1]",
                          ACCEL_FAULT_ARG_SRC,
                          ACCEL_FAULT_ARG_DST,
                          ACCEL_FAULT_BLOCK};

// What a backend gives in place of a Pair or Writer, for caches that the device cannot reach, does
// the call in Python.
Pair* as_pair(py::handle object) {
  static PyTypeObject* const type = reinterpret_cast<PyTypeObject*>(py::type::of<Pair>().ptr());
  if (Py_TYPE(object.ptr()) != type) return nullptr;
  return static_cast<Pair*>(
      reinterpret_cast<py::detail::instance*>(object.ptr())->get_value_and_holder().value_ptr());
}

void call_transfer(py::handle pair, py::handle src, py::handle dst, py::handle src_slots,
                   py::handle dst_slots, py::handle stream) {
  Pair* const native = as_pair(pair);
  if (native == nullptr) {
    pair.attr("transfer")(src, dst, src_slots, dst_slots, stream);
    return;
  }
  const Device& device = native->kernels.device;
  TensorView src_view, dst_view;
  const ListArgument from = read_list(src_slots.ptr(), "src_slots", device, &src_view);
  const ListArgument to = read_list(dst_slots.ptr(), "dst_slots", device, &dst_view);
  if (from.list.size != to.list.size) {
    fail("ShapeError", "dst_slots", std::to_string(from.list.size) + " indices as src_slots has",
         std::to_string(to.list.size));
  }
  run_transfer(*native, src.ptr(), dst.ptr(), from, to, resolve_stream(stream, device), kTransfer);
}

void call_map_blocks(py::handle pair, py::handle src, py::handle dst, py::handle mapping,
                     py::handle stream) {
  Pair* const native = as_pair(pair);
  if (native == nullptr) {
    pair.attr("map_blocks")(src, dst, mapping, stream);
    return;
  }
  const Device& device = native->kernels.device;
  TensorView view;
  read_index_tensor(mapping.ptr(), "block_mapping", 2, device, &view);
  if (view.shape[1] != 2) {
    fail("ShapeError", "block_mapping", "[n, 2]",
         "[" + std::to_string(view.shape[0]) + ", " + std::to_string(view.shape[1]) + "]");
  }
  run_transfer(*native, src.ptr(), dst.ptr(), read_column(mapping.ptr(), view, 0),
               read_column(mapping.ptr(), view, 1), resolve_stream(stream, device),
               src.is(dst) ? kCopy : kSwap);
}

void call_gather(py::handle pair, py::handle src, py::handle dst, py::handle block_table,
                 py::handle seq_lens, py::handle seq_starts, std::int64_t block_size,
                 std::int64_t blocks, py::handle stream, py::handle scratch) {
  Pair* const native = as_pair(pair);
  if (native == nullptr) {
    pair.attr("gather")(src, dst, block_table, seq_lens, seq_starts, stream);
    return;
  }
  run_gather(*native, src, dst, block_table, seq_lens, seq_starts, block_size, blocks, stream,
             scratch);
}

bool call_write(py::handle writer, py::handle cache, std::int64_t layer, py::handle key,
                py::handle value, py::handle slot_mapping, py::handle stream) {
  if (!py::isinstance<Writer>(writer)) {
    writer.attr("write")(cache, layer, key, value, slot_mapping, stream);
    return true;
  }
  return py::cast<Writer&>(writer).write(cache, layer, key, value, slot_mapping, stream);
}

// The launches of a transfer, as (kernel, blocks, shared bytes, argument struct), without a device: for tests that
// run kernels on the CPU. A list is a pair (address, stride, int64?) or indices to put into the
// arguments; None counts.
DeviceList list_from(const py::object& given, std::vector<std::int64_t>* values) {
  DeviceList list;
  if (given.is_none()) return list;
  if (py::isinstance<py::tuple>(given)) {
    const auto [data, stride, wide] = given.cast<std::tuple<std::uintptr_t, std::int64_t, bool>>();
    list.where = DeviceList::Where::Device;
    list.data = data;
    list.stride = stride;
    list.wide = wide;
    return list;
  }
  *values = given.cast<std::vector<std::int64_t>>();
  list.where = DeviceList::Where::Host;
  list.values = values->data();
  return list;
}

py::list describe_launches(std::int64_t layers, const py::bytes& plan,
                           const std::vector<Address>& src, const std::vector<Address>& dst,
                           std::int64_t group, std::int64_t units, const py::object& src_list,
                           const py::object& dst_list, std::int64_t src_bound,
                           std::int64_t dst_bound, std::uintptr_t table, std::uintptr_t fault,
                           std::uintptr_t count) {
  std::vector<accel_kv_plane> planes;
  for (const accel_kv_plane& plane : accel::unpack_plan<accel_kv_plane>(std::string_view(plan))) {
    planes.push_back(group_units(plane, group));
  }
  CopyForm form;
  const std::vector<CopyKind> kinds = copy_kinds(layers, planes, src, dst);
  for (CopyLaunch& launch : plan_launches(kinds)) {
    if (table == 0 && !launch.inline_bases()) {
      for (const CopyLaunch& part : split_bases(kinds, launch)) form.launches.push_back(part);
      continue;
    }
    if (table != 0) {
      const std::size_t bytes = launch.bases.size() * sizeof(BasePair);
      std::memcpy(reinterpret_cast<void*>(table), launch.bases.data(), bytes);
      set_table(&launch, table);
      table += bytes;
    }
    form.launches.push_back(launch);
  }
  std::vector<std::int64_t> src_values, dst_values;
  CopyCall call;
  call.form = &form;
  call.src = list_from(src_list, &src_values);
  call.dst = list_from(dst_list, &dst_values);
  call.units = units;
  call.src_bound = src_bound;
  call.dst_bound = dst_bound;
  call.src_argument = ACCEL_FAULT_ARG_SRC;
  call.dst_argument = ACCEL_FAULT_ARG_DST;
  call.fault_kind = ACCEL_FAULT_SLOT;
  call.count = count;
  py::list result;
  for (const PackedLaunch& launch : pack_launches(call, fault)) {
    result.append(py::make_tuple(
        kCopyKernelNames[launch.kernel], launch.blocks, launch.shared_bytes,
        py::bytes(reinterpret_cast<const char*>(&launch.args),
                  launch.kernel == kRows16Few ? sizeof(accel_copy_few_args)
                                              : sizeof launch.args)));
  }
  return result;
}

// The bytes of the pieces that a staged transfer of `units` units is cut into, in their order, for
// tests.
std::vector<std::int64_t> describe_pieces(std::int64_t layers, const py::bytes& plan,
                                          const std::vector<Address>& src,
                                          const std::vector<Address>& dst, bool to_host,
                                          const std::vector<std::int64_t>& host_slots,
                                          std::int64_t first, std::int64_t most,
                                          std::int64_t growth) {
  const auto planes = accel::unpack_plan<accel_kv_plane>(std::string_view(plan));
  const auto kinds = staged_kinds(layers, planes, src, dst, to_host, host_slots, {});
  std::vector<std::int64_t> bytes;
  const auto units = static_cast<std::int64_t>(host_slots.size());
  for (const Piece& piece : cut_pieces(kinds, units, {first, most, growth}, !to_host)) {
    bytes.push_back(piece.bytes);
  }
  return bytes;
}

py::dict describe_policy(const HostPolicy& policy) {
  return py::dict("batched_bytes"_a = policy.batched_bytes,
                  "batched_run_bytes"_a = policy.batched_run_bytes,
                  "staged_bytes"_a = policy.staged_bytes, "stretch_bytes"_a = policy.stretch_bytes,
                  "out_stretch_bytes"_a = policy.out_stretch_bytes,
                  "single_stretch_bytes"_a = policy.single_stretch_bytes,
                  "first_bytes"_a = policy.first_bytes, "growth"_a = policy.growth,
                  "most_bytes"_a = policy.most_bytes,
                  "staging_blocks"_a = policy.staging_blocks);
}

py::dict set_policy(const py::kwargs& given) {
  HostPolicy wanted = host_policy();
  const std::pair<const char*, std::int64_t*> places[] = {
      {"batched_bytes", &wanted.batched_bytes},
      {"batched_run_bytes", &wanted.batched_run_bytes},
      {"staged_bytes", &wanted.staged_bytes},
      {"stretch_bytes", &wanted.stretch_bytes},
      {"out_stretch_bytes", &wanted.out_stretch_bytes},
      {"single_stretch_bytes", &wanted.single_stretch_bytes},
      {"first_bytes", &wanted.first_bytes},
      {"growth", &wanted.growth},
      {"most_bytes", &wanted.most_bytes},
      {"staging_blocks", &wanted.staging_blocks}};
  for (const auto& [name, value] : given) {
    const auto text = name.cast<std::string>();
    const auto place = std::find_if(std::begin(places), std::end(places),
                                    [&](const auto& p) { return text == p.first; });
    if (place == std::end(places)) throw std::invalid_argument("no such policy: " + text);
    *place->second = std::max<std::int64_t>(1, value.cast<std::int64_t>());
  }
  const auto limit = static_cast<std::int64_t>(HostLane::kStagingBytes) / 2;
  wanted.most_bytes = std::min(wanted.most_bytes, limit);
  wanted.first_bytes = std::min(wanted.first_bytes, wanted.most_bytes);
  wanted.staging_blocks = std::min<std::int64_t>(wanted.staging_blocks, 1024);
  return describe_policy(set_host_policy(wanted));
}

}  // namespace
}  // namespace accel_cuda::kv

namespace accel_cuda {

void bind_kv(py::module_& module) {
  using namespace kv;
  py::module_ kv = module.def_submodule("kv", "KV data movement; called by accel_cuda's Python.");
  py::class_<Kernels>(kv, "Kernels", "The movement kernels of one device.")
      .def(py::init<int, const py::dict&, double>(), "device_index"_a, "functions"_a, "share"_a)
      .def_readonly("host_blocks", &Kernels::host_blocks);
  py::class_<Pair>(kv, "Pair", "Two caches prepared for transfers at one grain.")
      .def(py::init(&make_pair), "kernels"_a, "src_on_host"_a, "dst_on_host"_a, "layers"_a,
           "plan"_a, "src_pointers"_a, "dst_pointers"_a, "src_tensors"_a, "dst_tensors"_a,
           "src_units"_a, "dst_units"_a, "sharing"_a, py::keep_alive<1, 2>());
  py::class_<Writer>(kv, "Writer", "One cache prepared for writes of new tokens.")
      .def(py::init<Kernels&, const std::vector<std::int64_t>&, std::int64_t,
                    std::vector<std::uintptr_t>, std::vector<std::int64_t>,
                    std::vector<std::uintptr_t>, std::vector<std::vector<std::size_t>>>(),
           "kernels"_a, "heads"_a, "slots"_a, "pointers"_a, "spans"_a, "tensors"_a,
           "tensors_of_layer"_a, py::keep_alive<1, 2>())
      .def("add", &Writer::add, "key"_a, "value"_a, "plan"_a, "targets"_a,
           "Remember the plan for tensors shaped and strided as these.");
  kv.def("transfer", &call_transfer);
  kv.def("map_blocks", &call_map_blocks);
  kv.def("gather", &call_gather);
  kv.def("write", &call_write);
  kv.def("upload_small", &upload_small, "kernels"_a, "dst"_a, "src"_a, "stream"_a = py::none());
  kv.def(
      "knows_tensor_words", [] { return accel::detail::tensor_words() != nullptr; },
      "Whether tensors of a cache are looked at without asking torch.");
  kv.def(
      "mapped_address",
      [](int device_index, std::uintptr_t pointer, std::int64_t bytes) {
        return mapped_address(Device::get(device_index), pointer, bytes);
      },
      "device_index"_a, "pointer"_a, "bytes"_a,
      "The device's address of pinned host memory, or 0 when it cannot reach all of it.");
  kv.def("describe_launches", &describe_launches, "layers"_a, "plan"_a, "src_pointers"_a,
         "dst_pointers"_a, "group"_a, "units"_a, "src_list"_a, "dst_list"_a, "src_bound"_a,
         "dst_bound"_a, "table"_a = 0, "fault"_a = 0, "count"_a = 0,
         "(kernel, blocks, shared bytes, argument struct) of the launches of a transfer; needs no device.");
  kv.def("describe_pieces", &describe_pieces, "layers"_a, "plan"_a, "src_pointers"_a,
         "dst_pointers"_a, "to_host"_a, "host_slots"_a, "first"_a, "most"_a, "growth"_a,
         "Bytes of the pieces that a staged transfer is cut into; needs no device.");
  kv.def("set_host_policy", &set_policy, "Change what is named; returns what was before.");
  kv.def("host_policy", [] { return describe_policy(host_policy()); });
  kv.def(
      "host_counts",
      [] {
        const HostCounts& counts = host_counts();
        return py::dict("direct"_a = counts.direct, "batched"_a = counts.batched,
                        "staged"_a = counts.staged, "pieces"_a = counts.pieces,
                        "ends"_a = counts.ends, "copies"_a = counts.copies);
      },
      "How many transfers to and from the host went which way so far.");
}

}  // namespace accel_cuda
