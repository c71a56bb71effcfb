#include "copy_kernels.hpp"

#include <accel/errors.hpp>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "capture_mode.hpp"

namespace accel_cuda {
namespace {

namespace py = pybind11;

constexpr unsigned kBlocksOnMultiprocessor = 8;  // of 256 threads: all that fit

py::object& finder() {
  static auto* only = new py::object;  // never destroyed: the interpreter may be gone by then
  return *only;
}

std::map<int, std::unique_ptr<const CopyKernels>>& loaded() {
  static auto* all = new std::map<int, std::unique_ptr<const CopyKernels>>;
  return *all;
}

Function find(const Device& device, const char* file, const std::string& name) {
  return reinterpret_cast<Function>(
      py::cast<std::uintptr_t>(finder()(device.index, file, name)));
}

}  // namespace

void use_kernels(py::object find) { finder() = std::move(find); }

const CopyKernels& CopyKernels::of(const Device& device) {
  auto& found = loaded()[device.index];
  if (found != nullptr) return *found;
  if (!finder()) {
    accel::fail_message("StateError", "the copy kernels were not given to the native module");
  }
  UnrelatedToCaptures unrelated;
  std::unique_ptr<CopyKernels> made(new CopyKernels(device));
  const char* const names[] = {"copy_strided_", "fill_strided_", "copy_rows_", "copy_tiles_"};
  for (int kernel = 0; kernel < 4; ++kernel) {
    for (int log = 0; log < 5; ++log) {
      made->strided_[kernel][log] =
          find(device, "strided.cu", names[kernel] + std::to_string(1 << log));
    }
  }
  made->pieces_ = find(device, "pieces.cu", "copy_pieces");
  made->flat_ = find(device, "pieces.cu", "copy_flat");
  made->launch_empty();
  auto& slot = loaded()[device.index];  // finding them ran Python, which may have come here too
  if (slot == nullptr) slot = std::move(made);
  return *slot;
}

unsigned CopyKernels::most_blocks() const {
  const int multiprocessors = device_.properties().multiprocessors;
  return kBlocksOnMultiprocessor * static_cast<unsigned>(multiprocessors > 0 ? multiprocessors : 1);
}

// Each kernel once, on nothing: the driver loads code at its first launch, and may wait for the whole
// device then, which must not happen while a stream is held up.
void CopyKernels::launch_empty() const {
  Current current(device_);
  StreamHandle stream = nullptr;
  ACCEL_CUDA_CALL(stream_create, &stream, kStreamNonBlocking, 0);
  StridedLaunch nothing;
  std::memset(&nothing.args, 0, sizeof nothing.args);
  nothing.args.strided.axes = 1;  // of no units
  nothing.args.strided.axis[0].extent = 1;
  for (int kernel = 0; kernel < 4; ++kernel) {
    nothing.kernel = static_cast<StridedKernel>(kernel);
    for (nothing.unit = 1; nothing.unit <= 16; nothing.unit *= 2) launch(nothing, stream);
  }
  const accel_flat_args flat{};
  const auto pieces = std::make_unique<accel_pieces_args>();
  accel_cuda::launch(device_, flat_, {1}, ACCEL_PIECES_THREADS, 0, stream, &flat);
  accel_cuda::launch(device_, pieces_, {1}, ACCEL_PIECES_THREADS, 0, stream, pieces.get());
  py::gil_scoped_release unlocked;  // host callbacks of other streams may need it
  const Result result = driver().stream_synchronize(stream);
  driver().stream_destroy(stream);
  check(result, Entry::stream_synchronize);
}

void CopyKernels::launch(const StridedLaunch& copy, StreamHandle stream) const {
  int log = 0;
  while (1u << log < copy.unit) ++log;
  accel_cuda::launch(device_, strided_[static_cast<int>(copy.kernel)][log], {copy.blocks},
                     ACCEL_STRIDED_THREADS, 0, stream, copy.data());
}

void CopyKernels::launch_pieces(const accel_pieces_args& args, StreamHandle stream) const {
  accel_cuda::launch(device_, pieces_, {std::min(args.count, most_blocks())}, ACCEL_PIECES_THREADS,
                     0, stream, &args);
}

void CopyKernels::launch_flat(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes,
                              StreamHandle stream) const {
  const accel_flat_args args{dst, src, nbytes};
  const std::size_t parts = (nbytes + ACCEL_FLAT_PART - 1) / ACCEL_FLAT_PART;
  const auto blocks = static_cast<unsigned>(std::min<std::size_t>(parts, most_blocks()));
  accel_cuda::launch(device_, flat_, {blocks}, ACCEL_PIECES_THREADS, 0, stream, &args);
}

}  // namespace accel_cuda
