#include "uploads.hpp"

#include <accel/operand.hpp>
#include <accel/tensor_view.hpp>
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "kernels/kv_gather_args.h"
#include "runtime/stream.hpp"

namespace accel_cuda::kv {
namespace {

namespace py = pybind11;
using accel::fail;
using accel::TensorView;

// In launch arguments up to here; more goes through pinned memory, in parts of kPartBytes.
constexpr std::size_t kMostInArguments = 4096;
constexpr std::size_t kPartBytes = std::size_t{1} << 20;

bool is_metadata(PyObject* dtype) {
  static const auto known = [] {
    const py::module_ torch = py::module_::import("torch");
    std::array<PyObject*, 4> found{};
    std::size_t i = 0;
    for (const char* name : {"int32", "int64", "float32", "float64"}) {
      found[i++] = py::object(torch.attr(name)).release().ptr();
    }
    return found;
  }();
  return std::find(known.begin(), known.end(), dtype) != known.end();
}

std::string shape_text(const TensorView& view) {
  std::string text = "[";
  for (int i = 0; i < view.ndim; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(view.shape[i]);
  }
  return text + "]";
}

bool is_contiguous(const TensorView& view) {
  std::int64_t expected = 1;
  for (int i = view.ndim - 1; i >= 0; --i) {
    if (view.shape[i] != 1 && view.strides[i] != expected) return false;
    expected *= view.shape[i];
  }
  return true;
}

// The elements in order, whatever the strides.
void pack(const TensorView& view, std::size_t itemsize, char* to) {
  const std::int64_t count = view.numel();
  const auto* const from = reinterpret_cast<const char*>(view.data);
  if (is_contiguous(view)) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * itemsize);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i, offset = 0;
    for (int d = view.ndim - 1; d >= 0; --d) {
      offset += rest % view.shape[d] * view.strides[d];
      rest /= view.shape[d];
    }
    std::memcpy(to + static_cast<std::size_t>(i) * itemsize,
                from + offset * static_cast<std::int64_t>(itemsize), itemsize);
  }
}

void send_in_arguments(Kernels& kernels, DevicePointer to, const char* bytes, std::size_t count,
                       StreamHandle stream) {
  const Submission submission(kernels.runtime);
  for (std::size_t at = 0; at < count; at += ACCEL_UPLOAD_BYTES) {
    accel_upload_args args = {};
    args.to = to + at;
    args.bytes = static_cast<unsigned>(std::min<std::size_t>(count - at, ACCEL_UPLOAD_BYTES));
    std::memcpy(args.words, bytes + at, args.bytes);
    launch(kernels.device, kernels.upload, {1}, ACCEL_UPLOAD_THREADS, 0, stream, &args);
  }
}

void send_through_pinned(Kernels& kernels, DevicePointer to, const char* bytes, std::size_t count,
                         StreamHandle stream) {
  const Current current(kernels.device);
  for (std::size_t at = 0; at < count; at += kPartBytes) {
    const std::size_t part = std::min(count - at, kPartBytes);
    const IndexUploads::Slab slab(kernels.uploads, part, stream);
    std::memcpy(slab.host(), bytes + at, part);
    {
      const Submission submission(kernels.runtime);
      ACCEL_CUDA_CALL(memcpy_to_device_async, to + at, slab.host(), part, stream);
    }
  }
}

}  // namespace

void upload_small(Kernels& kernels, py::handle dst, py::handle src, py::handle stream) {
  const StreamHandle target = resolve_stream(stream, kernels.device);
  TensorView to, from;
  accel::read_tensor(dst.ptr(), "dst", &to);
  accel::read_tensor(src.ptr(), "src", &from);
  const auto& names = accel::detail::names();
  const auto device_text = [&](py::handle tensor) {
    return accel::describe(accel::detail::attribute(tensor.ptr(), names.device).get());
  };
  if (to.is_cpu || to.device_index != kernels.device.index) {
    fail("DeviceError", "dst", "a tensor on cuda:" + std::to_string(kernels.device.index),
         device_text(dst));
  }
  if (!from.is_cpu) fail("DeviceError", "src", "a tensor in host memory", device_text(src));
  const accel::Ref dtype = accel::detail::attribute(src.ptr(), names.dtype);
  if (!is_metadata(dtype.get())) {
    fail("DTypeError", "src", "int32, int64, float32 or float64", accel::describe(dtype.get()),
         "use memcpy.copy_async for other things");
  }
  const accel::Ref wanted = accel::detail::attribute(dst.ptr(), names.dtype);
  if (wanted.get() != dtype.get()) {
    fail("DTypeError", "dst", accel::describe(dtype.get()) + " as src",
         accel::describe(wanted.get()));
  }
  if (to.ndim != from.ndim || !std::equal(to.shape, to.shape + to.ndim, from.shape)) {
    fail("ShapeError", "dst", shape_text(from) + " as src", shape_text(to));
  }
  if (!is_contiguous(to)) {
    fail("ShapeError", "dst", "a contiguous tensor", "a strided one",
         "upload into a contiguous tensor and copy from there");
  }
  const accel::Ref size = accel::detail::attribute(src.ptr(), names.itemsize);
  const auto itemsize = static_cast<std::size_t>(PyLong_AsLong(size.get()));
  const std::size_t bytes = static_cast<std::size_t>(from.numel()) * itemsize;
  if (bytes == 0) return;
  if (bytes <= kMostInArguments) {
    alignas(8) char packed[kMostInArguments];
    pack(from, itemsize, packed);
    send_in_arguments(kernels, to.data, packed, bytes, target);
  } else {
    std::vector<char> packed(bytes);
    pack(from, itemsize, packed.data());
    send_through_pinned(kernels, to.data, packed.data(), bytes, target);
  }
  record_use(kernels.runtime, target, dst.ptr());
}

}  // namespace accel_cuda::kv
