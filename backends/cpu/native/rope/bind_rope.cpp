// The Python face of rope_reposition: accel_cpu._native.rope. accel_cpu/rope.py is its only caller.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <utility>

#include "arguments.hpp"
#include "bindings/submit.hpp"

namespace py = pybind11;

namespace accel_cpu::rope {
namespace {

void queue(Work&& work, const std::shared_ptr<Stream>& stream, py::handle keys, py::handle table) {
  if (work.tokens.empty() || work.heads == 0) return;
  const auto bytes = static_cast<std::size_t>(work.bytes());
  Keepalive keep = stream->runs_inline() ? Keepalive() : Keepalive({keys.ptr(), table.ptr()});
  submit(stream, [work = std::move(work)] { reposition(work); }, std::move(keep), bytes);
}

bool run_tensor(const Rotation& rotation, py::handle keys, py::handle old_positions,
                py::handle new_positions, py::handle table, bool apart, py::handle stream) {
  const auto target = resolve_stream(stream);
  Work work;
  if (!read_tensor_call(rotation, keys.ptr(), old_positions.ptr(), new_positions.ptr(), table.ptr(),
                        apart, &work)) {
    return false;
  }
  queue(std::move(work), target, keys, table);
  return true;
}

bool run_cache(const Rotation& rotation, const KeyCache& prepared, py::handle cache,
               py::handle old_positions, py::handle new_positions, py::handle table,
               py::handle slots, py::handle layer, bool apart, py::handle stream) {
  const auto target = resolve_stream(stream);
  prepared.memory.check(cache.ptr(), "keys");
  Work work;
  if (!read_cache_call(rotation, prepared, old_positions.ptr(), new_positions.ptr(), table.ptr(),
                       slots.ptr(), layer.ptr(), apart, &work)) {
    return false;
  }
  queue(std::move(work), target, cache, table);
  return true;
}

}  // namespace

void bind_rope(py::module_& module) {
  auto rope = module.def_submodule("rope", "Repositioned keys; called by accel_cpu.rope only.");
  py::class_<Rotation>(rope, "Rotation", "A Rope prepared for the head dims that were met.")
      .def(py::init<std::int64_t, bool>(), py::arg("offset"), py::arg("interleaved"))
      .def("add", &Rotation::add, py::arg("head_dim"), py::arg("inv_freq"));
  py::class_<KeyCache>(rope, "KeyCache", "The keys of a cache.")
      .def(py::init(&make_key_cache), py::arg("bases"), py::arg("tensors"), py::arg("dtype"),
           py::arg("shape"), py::arg("strides"), py::arg("span"));
  rope.def("reposition_tensor", &run_tensor);
  rope.def("reposition_cache", &run_cache);
  rope.def("set_parallel_bytes", &set_parallel_bytes,
           "Bytes from which several threads are used; negative: decided here. Returns what was.");
}

}  // namespace accel_cpu::rope
