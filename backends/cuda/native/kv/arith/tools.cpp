#include "tools.hpp"

#include <accel/cache_memory.hpp>
#include <algorithm>

#include "runtime/pending.hpp"
#include "runtime/torch_streams.hpp"

namespace accel_cuda::arith {
namespace {

namespace py = pybind11;

constexpr std::array<const char*, 4> kCodeDefines = {"ACCEL_VALUE", "ACCEL_CODE", "ACCEL_SHIFTED",
                                                     "ACCEL_VECTOR"};
constexpr KernelEntry kEntries[kKernelIds] = {
    {"rope.cu", "rope_reposition", {"ACCEL_VALUE", "ACCEL_INTERLEAVED", "ACCEL_VECTOR", nullptr}},
    {"quantize_rows.cu", "quantize_rows_1", kCodeDefines},
    {"quantize_rows.cu", "quantize_rows_2", kCodeDefines},
    {"quantize_rows.cu", "quantize_rows_4", kCodeDefines},
    {"quantize_rows.cu", "quantize_rows_short", kCodeDefines},
    {"quantize_rows.cu", "quantize_rows_block", kCodeDefines},
    {"quantize_rows.cu", "quantize_rows_odd", kCodeDefines},
    {"quantize_columns.cu", "quantize_columns", kCodeDefines},
    {"quantize_strips.cu", "quantize_strips", kCodeDefines, true},
    {"dequantize.cu", "dequantize_rows", kCodeDefines},
    {"dequantize.cu", "dequantize_rows_odd", kCodeDefines},
    {"dequantize.cu", "dequantize_columns", kCodeDefines},
    {"convert.cu", "convert_elements", {"ACCEL_FROM", "ACCEL_TO", "ACCEL_VECTOR", nullptr}},
};

constexpr std::size_t kArenaBytes = std::size_t{16} << 20;
constexpr std::size_t kSmallestWorkspace = std::size_t{64} << 10;
constexpr std::size_t kMostStreams = 16;

// Lets this thread allocate while a stream is being captured, by whomever.
class AllocationAllowed {
 public:
  AllocationAllowed() { exchange(); }
  ~AllocationAllowed() { exchange(); }
  AllocationAllowed(const AllocationAllowed&) = delete;
  AllocationAllowed& operator=(const AllocationAllowed&) = delete;

 private:
  void exchange() {
    if (driver().thread_capture_mode != nullptr) driver().thread_capture_mode(&mode_);
  }
  int mode_ = kCaptureModeRelaxed;
};

DevicePointer allocate(std::size_t bytes) {
  const AllocationAllowed allowed;
  DevicePointer address = 0;
  ACCEL_CUDA_CALL(memory_allocate, &address, bytes);
  return address;
}

}  // namespace

const KernelEntry& entry_of(const Variant& variant) { return kEntries[variant.id]; }

py::dict defines_of(const Variant& variant) {
  const KernelEntry& entry = entry_of(variant);
  py::dict defines;
  for (std::size_t i = 0; i < entry.defines.size(); ++i) {
    if (entry.defines[i] != nullptr) defines[entry.defines[i]] = variant.values[i];
  }
  return defines;
}

void ToldStreams::tell(Runtime& runtime, StreamHandle stream, PyObject* cache) {
  const bool capturing = is_capturing(stream);
  if (!capturing && std::find(told_.begin(), told_.end(), stream) != told_.end()) return;
  const accel::Ref tensors = accel::detail::tensors_of(cache);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tensors.get()); ++i) {
    record_use(runtime, stream, PyTuple_GET_ITEM(tensors.get(), i));
  }
  if (capturing) return;
  if (told_.size() >= kMostStreams) told_.erase(told_.begin());
  told_.push_back(stream);
}

DeviceTools::DeviceTools(int index, py::object find)
    : device(Device::get(index)),
      runtime(Runtime::of(device)),
      uploads(runtime),
      find_(std::move(find)) {
  const Current current(device);
  arena_ = allocate(kArenaBytes);
  ACCEL_CUDA_CALL(stream_create, &stream_, kStreamNonBlocking, 0);
  ACCEL_CUDA_CALL(memset_8_async, arena_, 0, kArenaBytes, stream_);
  ACCEL_CUDA_CALL(stream_synchronize, stream_);
}

// Of the arena, or once that is used up of its own.
DevicePointer DeviceTools::take(std::size_t bytes) {
  bytes = (bytes + 255) / 256 * 256;
  if (arena_used_ + bytes > kArenaBytes) {
    const DevicePointer own = allocate(bytes);
    ACCEL_CUDA_CALL(memset_8_async, own, 0, bytes, stream_);
    ACCEL_CUDA_CALL(stream_synchronize, stream_);
    return own;
  }
  const DevicePointer address = arena_ + arena_used_;
  arena_used_ += bytes;
  return address;
}

DevicePointer DeviceTools::keep(const void* content, std::size_t bytes) {
  const Current current(device);
  const AllocationAllowed allowed;  // the copy is no part of what is being captured
  const DevicePointer address = take(bytes);
  ACCEL_CUDA_CALL(memcpy_to_device_async, address, content, bytes, stream_);
  ACCEL_CUDA_CALL(stream_synchronize, stream_);
  return address;
}

Function DeviceTools::function(const Variant& variant) {
  std::uint64_t key = variant.id;
  for (const int value : variant.values) key = key << 8 | static_cast<std::uint64_t>(value);
  const auto known = functions_.find(key);
  if (known != functions_.end()) return known->second;
  const KernelEntry& entry = entry_of(variant);
  const int shared = entry.large_shared ? device.properties().shared_per_block_opt_in : 0;
  const auto handle =
      find_(device.index, entry.file, entry.kernel, defines_of(variant), shared).cast<std::uintptr_t>();
  return functions_[key] = reinterpret_cast<Function>(handle);
}

unsigned DeviceTools::resident(Function function, unsigned cluster, unsigned block,
                               unsigned shared_bytes) {
  const std::array<std::uintptr_t, 4> key = {reinterpret_cast<std::uintptr_t>(function), cluster,
                                             block, shared_bytes};
  const auto known = resident_.find(key);
  if (known != resident_.end()) return known->second;
  const int clusters = resident_clusters(device, function, cluster, block, shared_bytes);
  return resident_[key] = static_cast<unsigned>(clusters);
}

DevicePointer DeviceTools::zeroed(std::size_t bytes, StreamHandle stream) {
  if (is_capturing(stream)) {
    auto* const address = new DevicePointer(allocate(bytes));
    PyObject* const owner = PyCapsule_New(address, nullptr, [](PyObject* capsule) {
      auto* const held = static_cast<DevicePointer*>(PyCapsule_GetPointer(capsule, nullptr));
      driver().memory_free(*held);
      delete held;
    });
    if (owner == nullptr) throw py::error_already_set();
    keep_in_graph(runtime, stream, &owner, 1);
    Py_DECREF(owner);
    ACCEL_CUDA_CALL(memset_8_async, *address, 0, bytes, stream);
    return *address;
  }
  for (auto at = workspaces_.rbegin(); at != workspaces_.rend(); ++at) {
    if (at->stream == stream && at->bytes >= bytes) return at->address;
  }
  std::size_t size = kSmallestWorkspace;
  while (size < bytes) size *= 2;
  const AllocationAllowed allowed;
  const DevicePointer address = take(size);
  workspaces_.push_back({stream, address, size});
  return address;
}

DeviceTools& Tools::on(int device_index) {
  const auto at = static_cast<std::size_t>(device_index);
  if (devices_.size() <= at) devices_.resize(at + 1);
  if (devices_[at] == nullptr) devices_[at] = std::make_unique<DeviceTools>(device_index, find_);
  return *devices_[at];
}

}  // namespace accel_cuda::arith
