// The Python face of the KV engine: accel_cpu._native.kv. accel_cpu/kv.py is its only caller.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <accel/errors.hpp>
#include <accel/gather_slots.hpp>
#include <accel/index_arguments.hpp>
#include <accel/kv_slots.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/submit.hpp"
#include "handles.hpp"
#include "shared_bytes.hpp"
#include "transfer.hpp"

namespace py = pybind11;

namespace accel_cpu::kv {
namespace {

using accel::column;
using accel::fail;
using accel::gather_slots;
using accel::raise_fault;
using accel::read_host_indices;
using accel::read_slots;
using accel::read_tensor;
using accel::SlotList;
using accel::SlotPairs;
using accel::TensorView;

struct Names {
  const char *src_cache, *dst_cache, *src, *dst;
};
constexpr Names kTransfer{"src", "dst", "src_slots", "dst_slots"};
constexpr Names kSwap{"src", "dst", "block_mapping[:, 0]", "block_mapping[:, 1]"};
constexpr Names kCopy{"cache", "cache", "block_mapping[:, 0]", "block_mapping[:, 1]"};
constexpr Names kGather{"src", "dst", "block_table", "seq_lens"};

// Everything after the index tensors were understood.
void run(const Pair& pair, PyObject* src, PyObject* dst, const SlotList& src_slots,
         const SlotList& dst_slots, py::handle stream, const Names& names) {
  const auto target = resolve_stream(stream);
  pair.src_memory.check(src, names.src_cache);
  if (dst != src) pair.dst_memory.check(dst, names.dst_cache);
  SlotPairs pairs;
  const auto fault = accel::check_slots(src_slots, dst_slots, pair.src_units, pair.dst_units,
                                        pair.sharing == Sharing::Same, &pairs);
  if (fault) raise_fault(fault, names.src, names.dst);
  if (pairs.src.empty()) return;
  if (pair.sharing == Sharing::Partial) refuse_shared_bytes(*pair.bound, pairs, names.dst);
  const auto bytes = pair.unit_bytes * static_cast<std::int64_t>(pairs.src.size());
  submit(
      target,
      [bound = pair.bound, pairs = std::move(pairs)] { transfer(*bound, pairs); },
      target->runs_inline() ? Keepalive() : Keepalive({src, dst}), static_cast<std::size_t>(bytes));
}

void run_transfer(const Pair& pair, py::handle src, py::handle dst, py::handle src_slots,
                  py::handle dst_slots, py::handle stream) {
  TensorView src_view, dst_view;
  const SlotList from = read_slots(src_slots.ptr(), "src_slots", &src_view);
  const SlotList to = read_slots(dst_slots.ptr(), "dst_slots", &dst_view);
  if (from.size != to.size) {
    fail("ShapeError", "dst_slots", std::to_string(from.size) + " indices as src_slots has",
         std::to_string(to.size));
  }
  run(pair, src.ptr(), dst.ptr(), from, to, stream, kTransfer);
}

void run_mapping(const Pair& pair, py::handle src, py::handle dst, py::handle mapping,
                 py::handle stream) {
  TensorView view;
  read_host_indices(mapping.ptr(), "block_mapping", 2, &view);
  if (view.shape[1] != 2) {
    fail("ShapeError", "block_mapping", "[n, 2]",
         "[" + std::to_string(view.shape[0]) + ", " + std::to_string(view.shape[1]) + "]");
  }
  run(pair, src.ptr(), dst.ptr(), column(view, 0, view.strides[0]),
      column(view, view.strides[1], view.strides[0]), stream, src.is(dst) ? kCopy : kSwap);
}

void run_gather(const Pair& pair, py::handle src, py::handle dst, py::handle block_table,
                py::handle seq_lens, py::handle seq_starts, std::int64_t block_size,
                std::int64_t blocks, py::handle stream) {
  const std::vector<std::int64_t> slots =
      gather_slots(block_table.ptr(), seq_lens.ptr(), seq_starts.ptr(), block_size, blocks,
                   pair.dst_units);
  SlotList from, to;
  from.size = to.size = static_cast<std::int64_t>(slots.size());
  from.data = slots.data();
  if (slots.empty()) from.size = to.size = 0;
  run(pair, src.ptr(), dst.ptr(), from, to, stream, kGather);
}

// False when no plan for these tensors is known: nothing was done then.
bool run_write(const Writer& writer, py::handle cache, std::int64_t layer, py::handle key,
               py::handle value, py::handle slot_mapping, py::handle stream) {
  TensorView views[2];
  const int count = value.is_none() ? 1 : 2;
  read_tensor(key.ptr(), "key", &views[0]);
  if (count == 2) read_tensor(value.ptr(), "value", &views[1]);
  const WritePlan* plan = writer.find(layer, views, count);
  if (plan == nullptr) return false;
  TensorView slots_view;
  const SlotList slots = read_slots(slot_mapping.ptr(), "slot_mapping", &slots_view);
  const std::int64_t tokens = views[0].shape[0];
  if (slots.size > tokens) {
    fail("ShapeError", "slot_mapping", "at most " + std::to_string(tokens) + " indices as key has",
         std::to_string(slots.size));
  }
  const auto target = resolve_stream(stream);
  writer.check(cache.ptr(), layer);
  SlotList rows;
  rows.size = slots.size;
  SlotPairs pairs;
  const auto fault = accel::check_slots(rows, slots, tokens, writer.slots, false, &pairs);
  if (fault) raise_fault(fault, "key", "slot_mapping");
  if (pairs.src.empty()) return true;
  auto bound = std::make_shared<const Bound>(writer.bind(*plan, layer, views, count));
  if (writer.may_share(layer, views, count)) refuse_shared_bytes(*bound, pairs, "slot_mapping");
  const auto bytes = bound->unit_bytes() * static_cast<std::int64_t>(pairs.src.size());
  submit(
      target, [bound, pairs = std::move(pairs)] { transfer(*bound, pairs); },
      target->runs_inline() ? Keepalive() : Keepalive({cache.ptr(), key.ptr(), value.ptr()}),
      static_cast<std::size_t>(bytes));
  return true;
}

}  // namespace
}  // namespace accel_cpu::kv

void bind_conversions(py::module_& kv);

void bind_kv(py::module_& module) {
  using namespace accel_cpu::kv;
  auto kv = module.def_submodule("kv", "KV data movement; called by accel_cpu.kv only.");
  py::class_<Pair>(kv, "Pair", "Two caches prepared for transfers at one grain.")
      .def(py::init(&make_pair), py::arg("layers"), py::arg("plan"), py::arg("src_pointers"),
           py::arg("dst_pointers"), py::arg("src_tensors"), py::arg("dst_tensors"),
           py::arg("src_units"), py::arg("dst_units"), py::arg("sharing"));
  py::class_<Writer>(kv, "Writer", "One cache prepared for writes of new tokens.")
      .def(py::init(&make_writer), py::arg("heads"), py::arg("slots"), py::arg("pointers"),
           py::arg("spans"), py::arg("tensors"), py::arg("tensors_of_layer"))
      .def("add", &Writer::add, py::arg("key"), py::arg("value"), py::arg("plan"),
           py::arg("targets"), "Remember the plan for tensors shaped and strided as these.")
      .def("add_quantized", &Writer::add_quantized, py::arg("key"), py::arg("value"),
           py::arg("plan"), py::arg("targets"), py::arg("src_dtypes"), py::arg("dst_dtypes"),
           py::arg("per_head"), "The same for tensors that are written as codes.");
  kv.def("transfer", &run_transfer);
  kv.def("map_blocks", &run_mapping);
  kv.def("gather", &run_gather);
  kv.def("write", &run_write);
  bind_conversions(kv);
  kv.def("use_exchange_table", &accel::use_exchange_table,
         "Whether tensors are read through DLPack's exchange table; returns what was before.");
  kv.def(
      "set_policy",
      [](std::int64_t streaming, std::int64_t parallel) {
        const Policy before = set_policy({streaming, parallel});
        return std::pair(before.streaming_bytes, before.parallel_bytes);
      },
      "Bytes from which transfers (stream, use threads); negative: decided by the machine.");
}
