// The Python face of the entropy coder: accel_cpu._native.coding. accel_cpu/coding.py is its only
// caller, and has checked dtypes, shapes and devices.
#include <pybind11/pybind11.h>

#include <accel/errors.hpp>
#include <accel/tensor_view.hpp>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "bindings/submit.hpp"
#include "coder.hpp"
#include "lanes.hpp"
#include "runtime/strided_copy.hpp"

namespace py = pybind11;

namespace accel_cpu::coding {
namespace {

using accel::TensorView;

// Three axes of a tensor, and a copy of them if the coder cannot use them as they lie: made by the
// task, when its stream gets there.
class Cube {
 public:
  Cube(py::handle tensor, const char* argument, std::int64_t itemsize) : itemsize_(itemsize) {
    TensorView view;
    accel::read_tensor(tensor.ptr(), argument, &view);
    data_ = reinterpret_cast<std::uint8_t*>(view.data);
    for (int i = 0; i < 3; ++i) {
      shape_.push_back(view.shape[i]);
      strides_.push_back(view.strides[i] * itemsize);
    }
  }

  std::size_t extent(std::size_t axis) const { return static_cast<std::size_t>(shape_[axis]); }
  std::size_t numel() const { return extent(0) * extent(1) * extent(2); }
  std::ptrdiff_t stride(std::size_t axis) const {
    return static_cast<std::ptrdiff_t>(strides_[axis]);
  }
  std::uint8_t* data() const { return data_; }

  // From here on elements of the axes `first` to 2 lie one after the other.
  void gather(std::size_t first) {
    std::vector<std::int64_t> dense(3);
    std::int64_t span = itemsize_;
    bool as_wanted = true;
    for (std::size_t i = 3; i-- > 0; span *= shape_[i]) {
      dense[i] = span;
      as_wanted &= i < first || shape_[i] == 1 || strides_[i] == span;
    }
    if (as_wanted || span == 0) return;
    copy_.reset(new std::uint8_t[static_cast<std::size_t>(span)]);
    StridedCopy(shape_, dense, strides_, itemsize_).copy(copy_.get(), data_);
    data_ = copy_.get();
    strides_ = dense;
  }

 private:
  std::uint8_t* data_ = nullptr;
  std::int64_t itemsize_;
  std::vector<std::int64_t> shape_, strides_;  // bytes
  std::shared_ptr<std::uint8_t[]> copy_;
};

Cube read_symbols(py::handle tensor, const char* argument) { return Cube(tensor, argument, 1); }
Cube read_model(py::handle tensor) { return Cube(tensor, "model", 2); }

Symbols symbols_of(Cube& cube) {
  cube.gather(2);
  return {cube.data(),    cube.extent(0),  cube.extent(1),
          cube.extent(2), cube.stride(0), cube.stride(1)};
}

Model model_of(Cube& cube) {
  cube.gather(0);
  return {reinterpret_cast<const std::uint16_t*>(cube.data()),
          static_cast<std::uint32_t>(cube.extent(2) - 1)};
}

struct Bytes {
  std::uint8_t* data;
  std::size_t size;
};

Bytes bytes_of(py::handle tensor, const char* argument) {
  TensorView view;
  accel::read_tensor(tensor.ptr(), argument, &view);
  return {reinterpret_cast<std::uint8_t*>(view.data), static_cast<std::size_t>(view.shape[0])};
}

// `model` is contiguous.
void run_model(py::handle symbols, py::handle model, bool exact, py::handle stream) {
  Cube from = read_symbols(symbols, "symbols");
  Cube to = read_model(model);
  const std::size_t work = from.numel();
  submit(
      stream,
      [from = std::move(from), to = std::move(to), exact]() mutable {
        auto* rows = reinterpret_cast<std::uint16_t*>(to.data());
        make_model(symbols_of(from), static_cast<std::uint32_t>(to.extent(2) - 1), exact, rows);
      },
      {symbols.ptr(), model.ptr()}, work);
}

// Returns when it is done: how many bytes there are is the result.
std::size_t run_encode(py::handle symbols, py::handle model, py::handle out, py::handle stream) {
  const auto target = resolve_stream(stream);
  Cube from = read_symbols(symbols, "symbols");
  Cube with = read_model(model);
  const Bytes to = bytes_of(out, "out");
  drain_graveyard();
  std::size_t size = 0;
  const auto task = [&] { size = encode(symbols_of(from), model_of(with), to.data, to.size); };
  if (target->is_default() && from.numel() < kReleaseGilBytes) {
    task();
  } else {
    py::gil_scoped_release unlocked;
    target->run_blocking(task);
  }
  return size;
}

// Channels of `out` lie side by side.
void run_decode(py::handle data, py::handle model, py::handle out, py::handle stream) {
  const Bytes from = bytes_of(data, "data");
  Cube with = read_model(model);
  Cube to = read_symbols(out, "out");
  const std::size_t work = to.numel();
  submit(
      stream,
      [from, with = std::move(with), to = std::move(to)]() mutable {
        decode(from.data, from.size, model_of(with), symbols_of(to));
      },
      {data.ptr(), model.ptr(), out.ptr()}, work);
}

std::size_t bound_of(std::uint64_t layers, std::uint64_t tokens, std::uint64_t channels) {
  return packed_bound(accel_codec_choose_split(layers, tokens, channels));
}

}  // namespace

void bind_coding(py::module_& module) {
  auto coding = module.def_submodule("coding", "Entropy coding; called by accel_cpu.coding only.");
  coding.def("entropy_model", &run_model, py::arg("symbols"), py::arg("model"), py::arg("exact"),
             py::arg("stream"));
  coding.def("encode", &run_encode, py::arg("symbols"), py::arg("model"), py::arg("out"),
             py::arg("stream"));
  coding.def("decode", &run_decode, py::arg("data"), py::arg("model"), py::arg("out"),
             py::arg("stream"));
  coding.def("encode_bound", &bound_of, "Bytes that are enough for symbols of these extents.");
  coding.def("kernels", [] { return kernels().name; }, "The instruction set in use.");
  coding.def("use_kernels", &use_kernels, py::arg("name"),
             "Use 'portable', 'avx2' or 'avx512'; False where the processor lacks it. For tests.");
}

}  // namespace accel_cpu::coding
