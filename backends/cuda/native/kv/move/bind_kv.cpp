// The Python face of KV movement: accel_cuda._native.kv. accel_cuda/kv_movement.py is its caller.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <accel/errors.hpp>

#include "bindings/bindings.hpp"
#include "calls.hpp"
#include "gather.hpp"
#include "host_transfer.hpp"
#include "list_arguments.hpp"
#include "runtime/stream.hpp"
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
  if (Py_TYPE(object.ptr()) != reinterpret_cast<PyTypeObject*>(py::type::of<Pair>().ptr())) {
    return nullptr;
  }
  return py::cast<Pair*>(object);
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

py::dict describe_policy(const HostPolicy& policy) {
  return py::dict("staged_bytes"_a = policy.staged_bytes, "stretch_bytes"_a = policy.stretch_bytes,
                  "first_bytes"_a = policy.first_bytes, "most_bytes"_a = policy.most_bytes);
}

py::dict set_policy(std::int64_t staged, std::int64_t stretch, std::int64_t first,
                    std::int64_t most) {
  HostPolicy wanted = host_policy();
  for (const auto& [given, place] :
       {std::pair(staged, &wanted.staged_bytes), std::pair(stretch, &wanted.stretch_bytes),
        std::pair(first, &wanted.first_bytes), std::pair(most, &wanted.most_bytes)}) {
    if (given >= 0) *place = given;
  }
  const auto limit = static_cast<std::int64_t>(HostLane::kStagingBytes) / 4;
  wanted.most_bytes = std::min(std::max<std::int64_t>(wanted.most_bytes, 1), limit);
  wanted.first_bytes =
      std::min(std::max<std::int64_t>(wanted.first_bytes, 1), wanted.most_bytes);
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
      "mapped_address",
      [](int device_index, std::uintptr_t pointer, std::int64_t bytes) {
        return mapped_address(Device::get(device_index), pointer, bytes);
      },
      "device_index"_a, "pointer"_a, "bytes"_a,
      "The device's address of pinned host memory, or 0 when it cannot reach all of it.");
  kv.def("set_host_policy", &set_policy, "staged_bytes"_a = -1, "stretch_bytes"_a = -1,
         "first_bytes"_a = -1, "most_bytes"_a = -1,
         "Change what is not negative; returns what was before.");
  kv.def("host_policy", [] { return describe_policy(host_policy()); });
  kv.def(
      "host_counts",
      [] {
        const HostCounts& counts = host_counts();
        return py::dict("direct"_a = counts.direct, "staged"_a = counts.staged,
                        "pieces"_a = counts.pieces, "copies"_a = counts.copies);
      },
      "How many transfers to and from the host went which way so far.");
}

}  // namespace accel_cuda
