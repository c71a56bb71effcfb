// The entropy coder for Python: accel_cuda._native.coding. accel_cuda/coding.py is its only caller,
// and has checked dtypes and shapes; here devices are.
#include <pybind11/pybind11.h>

#include <accel/errors.hpp>
#include <accel/tensor_view.hpp>

#include <algorithm>
#include <memory>
#include <string>

#include "bindings/bindings.hpp"
#include "coder.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cuda {
namespace {

using accel::TensorView;
using coding::Coder;
using coding::Extents;

void read_on(const Device& device, py::handle tensor, const char* argument, TensorView* view) {
  accel::read_tensor(tensor.ptr(), argument, view);
  if (view->is_gpu && view->device_index == device.index) return;
  const std::string given =
      view->is_cpu ? "one on the host" : "one on device " + std::to_string(view->device_index);
  accel::fail("DeviceError", argument, "a tensor on device " + std::to_string(device.index), given,
              "use the backend of its device, or copy it");
}

coding_symbols symbols_of(const TensorView& view) {
  coding_symbols s{};
  s.data = view.data;
  s.layer_stride = view.strides[0];
  s.token_stride = view.strides[1];
  s.channel_stride = view.strides[2];
  return s;
}

Extents extents_of(const TensorView& view) {
  return {static_cast<std::uint64_t>(view.shape[0]), static_cast<std::uint64_t>(view.shape[1]),
          static_cast<std::uint64_t>(view.shape[2])};
}

std::uint32_t bins_of(const TensorView& model) {
  return static_cast<std::uint32_t>(model.shape[2] - 1);
}

void run_model(Coder& coder, py::handle symbols, py::handle model, bool exact, py::handle stream) {
  const StreamHandle on = resolve_stream(stream, coder.device);
  TensorView from, to;
  read_on(coder.device, symbols, "symbols", &from);
  read_on(coder.device, model, "model", &to);
  coder.make_model(symbols_of(from), extents_of(from), bins_of(to), exact, to.data, on);
  Runtime& runtime = Runtime::of(coder.device);
  record_use(runtime, on, symbols.ptr());
  record_use(runtime, on, model.ptr());
}

std::size_t run_encode(Coder& coder, py::handle symbols, py::handle model, py::handle out,
                       py::handle scratch, py::handle stream) {
  const StreamHandle on = resolve_stream(stream, coder.device);
  TensorView from, with, to, room;
  read_on(coder.device, symbols, "symbols", &from);
  read_on(coder.device, model, "model", &with);
  read_on(coder.device, out, "out", &to);
  read_on(coder.device, scratch, "scratch", &room);
  const Extents extents = extents_of(from);
  const std::size_t bound = coding::encode_bound(extents);
  if (bound > static_cast<std::size_t>(to.shape[0])) {
    accel::fail("SizeError", "out", "at least " + std::to_string(bound) + " bytes (encode_bound)",
                std::to_string(to.shape[0]));
  }
  constexpr std::size_t kMostPayload = std::size_t{0xFFFFFFFF} * 4;
  if (bound > kMostPayload) {
    accel::fail("SizeError", "symbols", "symbols whose streams fit into 16 GiB",
                std::to_string(bound) + " bytes", "encode fewer layers or tokens at a time");
  }
  if (Coder::scratch_bytes(extents) > static_cast<std::size_t>(room.shape[0])) {
    accel::fail("SizeError", "scratch",
                std::to_string(Coder::scratch_bytes(extents)) + " bytes",
                std::to_string(room.shape[0]));
  }
  try {
    return coder.encode(symbols_of(from), extents, with.data, bins_of(with), to.data, room.data, on);
  } catch (...) {
    // The call waits, unless a launch failed or a signal came: then some kernels may still run.
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    for (const py::handle used : {symbols, model, out, scratch}) {
      record_use(Runtime::of(coder.device), on, used.ptr());
    }
    PyErr_Restore(type, value, traceback);
    throw;
  }
}

void run_decode(Coder& coder, py::handle data, py::handle model, py::handle out,
                py::handle stream) {
  const StreamHandle on = resolve_stream(stream, coder.device);
  TensorView from, with, to;
  read_on(coder.device, data, "data", &from);
  read_on(coder.device, model, "model", &with);
  read_on(coder.device, out, "out", &to);
  coder.decode(from.data, static_cast<std::uint64_t>(from.shape[0]), with.data, bins_of(with),
               symbols_of(to), extents_of(to), on);
  Runtime& runtime = Runtime::of(coder.device);
  record_use(runtime, on, data.ptr());
  record_use(runtime, on, model.ptr());
  record_use(runtime, on, out.ptr());
}

std::unique_ptr<Coder> make_coder(int index, const py::dict& functions) {
  const auto function = [&](const char* name) {
    return reinterpret_cast<Function>(functions[name].cast<std::uintptr_t>());
  };
  const coding::Kernels kernels{function("model"), function("encode"), function("assemble"),
                                function("verify"), function("decode")};
  return std::make_unique<Coder>(Device::get(index), kernels);
}

}  // namespace

void bind_coding(py::module_& module) {
  auto coding = module.def_submodule("coding", "Entropy coding; called by accel_cuda.coding only.");
  py::class_<Coder>(coding, "Coder", "The kernels of one device.")
      .def(py::init(&make_coder), "device_index"_a, "functions"_a)
      .def("entropy_model", &run_model, "symbols"_a, "model"_a, "exact"_a, "stream"_a)
      .def("encode", &run_encode, "symbols"_a, "model"_a, "out"_a, "scratch"_a, "stream"_a,
           "Waits; the bytes used of out.")
      .def("decode", &run_decode, "data"_a, "model"_a, "out"_a, "stream"_a);
  coding.def("encode_bound",
             [](std::uint64_t layers, std::uint64_t tokens, std::uint64_t channels) {
               return coding::encode_bound({layers, tokens, channels});
             });
  coding.def(
      "scratch_bytes",
      [](std::uint64_t layers, std::uint64_t tokens, std::uint64_t channels) {
        return Coder::scratch_bytes({layers, tokens, channels});
      },
      "Device memory that encode wants for symbols of these extents.");
  coding.def("use_exchange_table", &accel::use_exchange_table,
             "Whether tensors are read through DLPack's table; returns what was so. For tests.");
  coding.def(
      "shared_bytes",
      [] {
        py::dict most;
        most["coding_model"] = coding::model_shared(256);
        most["coding_encode"] = std::max(coding::encode_shared(128), coding::encode_shared(256));
        most["coding_decode"] =
            std::max({coding::decode_shared(32, 1 << 20), coding::decode_shared(64, 1 << 20),
                      coding::decode_shared(256, 1 << 20)});
        return most;
      },
      "The most shared memory that launches of a kernel ask for.");
}

}  // namespace accel_cuda
