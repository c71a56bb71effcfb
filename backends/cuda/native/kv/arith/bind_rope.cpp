// The Python face of rope_reposition: accel_cuda._native.rope. accel_cuda/rope.py is its only caller.
#include <pybind11/stl.h>

#include <cstring>

#include "bindings/bindings.hpp"
#include "rope_arguments.hpp"
#include "runtime/stream.hpp"
#include "runtime/torch_streams.hpp"

namespace py = pybind11;

namespace accel_cuda {
namespace arith {
namespace {


void queue(RopeCall& call, StreamHandle stream) {
  DeviceTools& tools = *call.tools;
  RopeLaunch& one = *call.launch;
  one.args.fault = tools.runtime.state(stream).fault_address();
  const Function function = tools.function(one.variant);
  const std::size_t bytes = call.tokens.size() * sizeof(accel_rope_token);
  if (call.tokens.size() <= ACCEL_ROPE_HERE) {
    std::copy(call.tokens.begin(), call.tokens.end(), one.args.here);
    const Submission submission(tools.runtime);
    launch(tools.device, function, one.grid, one.block, one.shared_bytes, stream, &one.args);
    return;
  }
  const Current current(tools.device);
  const kv::IndexUploads::Slab slab(tools.uploads(), bytes, stream);
  std::memcpy(slab.host(), call.tokens.data(), bytes);
  one.args.list = slab.device();
  const Submission submission(tools.runtime);
  slab.send(bytes);
  launch(tools.device, function, one.grid, one.block, one.shared_bytes, stream, &one.args);
}

void record(DeviceTools& tools, StreamHandle stream, py::handle tensor) {
  if (tensor.is_none()) return;
  accel::TensorView view;
  accel::read_tensor(tensor.ptr(), "tensor", &view);
  if (view.is_gpu) record_use(tools.runtime, stream, tensor.ptr());
}

bool run_tensor(Rotation& rotation, py::handle keys, py::handle old_positions,
                py::handle new_positions, py::handle table, bool apart, py::handle stream) {
  RopeCall call;
  if (!read_tensor_call(rotation, keys.ptr(), old_positions.ptr(), new_positions.ptr(),
                        table.ptr(), apart, &call)) {
    return false;
  }
  const StreamHandle target = resolve_stream(stream, call.tools->device);
  if (call.launch == nullptr) return true;
  queue(call, target);
  for (const py::handle tensor : {keys, old_positions, new_positions, table}) {
    record(*call.tools, target, tensor);
  }
  return true;
}

bool run_cache(Rotation& rotation, KeyCache& prepared, py::handle cache, py::handle old_positions,
               py::handle new_positions, py::handle table, py::handle slots, py::handle layer,
               bool apart, py::handle stream) {
  prepared.memory.check(cache.ptr(), "keys");
  RopeCall call;
  if (!read_cache_call(rotation, prepared, old_positions.ptr(), new_positions.ptr(), table.ptr(),
                       slots.ptr(), layer.ptr(), apart, &call)) {
    return false;
  }
  const StreamHandle target = resolve_stream(stream, call.tools->device);
  if (call.launch == nullptr) return true;
  queue(call, target);
  prepared.streams.tell(call.tools->runtime, target, cache.ptr());
  for (const py::handle tensor : {old_positions, new_positions, table, slots}) {
    record(*call.tools, target, tensor);
  }
  return true;
}

}  // namespace
}  // namespace arith

void bind_rope(py::module_& module) {
  using namespace arith;
  auto rope = module.def_submodule("rope", "Repositioned keys; called by accel_cuda.rope only.");
  py::class_<Rotation>(rope, "Rotation", "A Rope prepared for the head dims that were met.")
      .def(py::init<std::shared_ptr<Tools>, std::int64_t, bool>(), py::arg("tools"),
           py::arg("offset"), py::arg("interleaved"))
      .def("add", &Rotation::add, py::arg("head_dim"), py::arg("inv_freq"));
  py::class_<KeyCache>(rope, "KeyCache", "The keys of a cache.")
      .def(py::init([](const std::shared_ptr<Tools>& tools, int device_index,
                       const std::vector<std::uintptr_t>& bases,
                       const std::vector<std::uintptr_t>& tensors, const std::string& dtype,
                       const std::vector<std::int64_t>& shape,
                       const std::vector<std::int64_t>& strides, std::int64_t span) {
             return make_key_cache(*tools, device_index, bases, tensors, dtype, shape, strides,
                                   span);
           }),
           py::arg("tools"), py::arg("device_index"), py::arg("bases"), py::arg("tensors"),
           py::arg("dtype"), py::arg("shape"), py::arg("strides"), py::arg("span"));
  rope.def("reposition_tensor", &run_tensor);
  rope.def("reposition_cache", &run_cache);
}

}  // namespace accel_cuda
