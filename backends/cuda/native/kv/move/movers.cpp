#include "movers.hpp"

#include <algorithm>
#include <stdexcept>

#include "kernels/kv_gather_args.h"
#include "runtime/torch_streams.hpp"

namespace accel_cuda::kv {
namespace {

namespace py = pybind11;

// Streams that a cache is used on; more than these are told again.
constexpr std::size_t kMostStreams = 16;

Function function_named(const py::dict& functions, const char* name) {
  if (!functions.contains(name)) throw std::invalid_argument(std::string("no kernel ") + name);
  return reinterpret_cast<Function>(functions[name].cast<std::uintptr_t>());
}

}  // namespace

Kernels::Kernels(int device_index, const py::dict& functions, double share)
    : device(Device::get(device_index)),
      runtime(Runtime::of(device)),
      uploads(runtime),
      to_host(runtime),
      from_host(runtime) {
  for (int i = 0; i < kCopyKernels; ++i) copy[i] = function_named(functions, kCopyKernelNames[i]);
  gather_slots = function_named(functions, "kv_gather_slots");
  upload = function_named(functions, "kv_upload");
  const double blocks = share * std::max(1, device.properties().multiprocessors);
  host_blocks = std::max(1u, static_cast<unsigned>(blocks));
  load_kernels();
}

// A driver loads a kernel at its first launch, and may wait for running work to do so.
void Kernels::load_kernels() const {
  const Current current(device);
  StreamHandle stream = nullptr;
  ACCEL_CUDA_CALL(stream_create, &stream, kStreamNonBlocking, 0);
  const accel_copy_args nothing = {};
  for (const Function kernel : copy) {
    launch(device, kernel, {1}, ACCEL_COPY_THREADS, 0, stream, &nothing);
  }
  const accel_gather_args no_sequences = {};
  launch(device, gather_slots, {1}, ACCEL_GATHER_THREADS, 0, stream, &no_sequences);
  const accel_upload_args no_bytes = {};
  launch(device, upload, {1}, ACCEL_UPLOAD_THREADS, 0, stream, &no_bytes);
  {
    const py::gil_scoped_release unlocked;
    ACCEL_CUDA_CALL(stream_synchronize, stream);
  }
  driver().stream_destroy(stream);
}

BaseTable::BaseTable(const Device& device, const std::vector<BasePair>& bases) : device_(device) {
  const Current current(device);
  int mode = kCaptureModeRelaxed;  // so that another thread's capture does not mind
  if (driver().thread_capture_mode != nullptr) driver().thread_capture_mode(&mode);
  const std::size_t bytes = bases.size() * sizeof(BasePair);
  StreamHandle stream = nullptr;
  Result result = driver().memory_allocate(&address_, bytes);
  Entry entry = Entry::memory_allocate;
  if (result == kSuccess) {
    entry = Entry::stream_create;
    result = driver().stream_create(&stream, kStreamNonBlocking, 0);
  }
  if (result == kSuccess) {
    entry = Entry::memcpy_to_device_async;
    result = driver().memcpy_to_device_async(address_, bases.data(), bytes, stream);
    if (result == kSuccess) result = driver().stream_synchronize(stream);
    driver().stream_destroy(stream);
  }
  if (driver().thread_capture_mode != nullptr) driver().thread_capture_mode(&mode);
  if (result == kSuccess) return;
  if (address_ != 0) driver().memory_free(address_);
  throw_driver_fault(result, entry);
}

BaseTable::~BaseTable() {
  ContextHandle before = nullptr;
  driver().context_get_current(&before);
  driver().context_set_current(device_.context);
  driver().memory_free(address_);
  driver().context_set_current(before);
}

std::unique_ptr<CopyForm> make_form(const Device& device, const std::vector<CopyKind>& kinds) {
  auto form = std::make_unique<CopyForm>();
  form->launches = plan_launches(kinds);
  for (CopyLaunch& launch : form->launches) {
    if (launch.inline_bases()) continue;
    form->tables.push_back(std::make_unique<BaseTable>(device, launch.bases));
    launch.args.table = form->tables.back()->address();
  }
  form->shortest_run = INT64_MAX;
  for (const CopyKind& kind : kinds) {
    const bool narrow = kind.kernel < kRows16;
    const std::int64_t run = narrow ? 1 : static_cast<std::int64_t>(kind.fields.run_bytes);
    form->shortest_run = std::min(form->shortest_run, run);
  }
  return form;
}

void KnownStreams::tell(Runtime& runtime, StreamHandle stream, PyObject* cache) {
  const bool capturing = is_capturing(stream);
  if (!capturing && std::find(known_.begin(), known_.end(), stream) != known_.end()) return;
  const accel::Ref tensors = accel::detail::tensors_of(cache);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tensors.get()); ++i) {
    record_use(runtime, stream, PyTuple_GET_ITEM(tensors.get(), i));
  }
  if (capturing) return;
  if (known_.size() >= kMostStreams) known_.erase(known_.begin());
  known_.push_back(stream);
}

const CopyForm& Pair::form(std::int64_t group) {
  std::unique_ptr<CopyForm>& form = forms_[group];
  if (form == nullptr) {
    std::vector<accel_kv_plane> grouped;
    for (const accel_kv_plane& plane : planes) grouped.push_back(group_units(plane, group));
    form = make_form(kernels.device, copy_kinds(layers, grouped, src, dst));
  }
  return *form;
}

std::unique_ptr<Pair> make_pair(Kernels& kernels, bool src_on_host, bool dst_on_host,
                                std::int64_t layers, const py::bytes& plan,
                                const std::vector<Address>& src_pointers,
                                const std::vector<Address>& dst_pointers,
                                const std::vector<std::uintptr_t>& src_tensors,
                                const std::vector<std::uintptr_t>& dst_tensors,
                                std::int64_t src_units, std::int64_t dst_units,
                                const std::string& sharing) {
  auto pair = std::make_unique<Pair>(kernels);
  pair->layers = layers;
  pair->planes = accel::unpack_plan<accel_kv_plane>(std::string_view(plan));
  const std::size_t bases = static_cast<std::size_t>(layers) * pair->planes.size();
  if (layers < 1 || src_pointers.size() != bases || dst_pointers.size() != bases) {
    throw std::invalid_argument("a base address for every layer and plane");
  }
  pair->src = src_pointers;
  pair->dst = dst_pointers;
  pair->src_on_host = src_on_host;
  pair->dst_on_host = dst_on_host;
  pair->src_memory.tensors = src_tensors;
  pair->dst_memory.tensors = dst_tensors;
  pair->src_units = src_units;
  pair->dst_units = dst_units;
  for (const accel_kv_plane& plane : pair->planes) {
    pair->unit_bytes += layers * plane.runs * plane.run_bytes;
  }
  if (sharing == "same") {
    pair->sharing = Sharing::Same;
  } else if (sharing == "partial") {
    pair->sharing = Sharing::Partial;
  } else if (sharing != "none") {
    throw std::invalid_argument("sharing is none, same or partial");
  }
  return pair;
}

Address mapped_address(const Device& device, Address host, std::int64_t bytes) {
  const Current current(device);
  Address first = 0, last = 0;
  const auto end = host + static_cast<Address>(std::max<std::int64_t>(bytes, 1) - 1);
  for (const auto& [at, mapped] : {std::pair(host, &first), std::pair(end, &last)}) {
    unsigned type = 0;
    if (driver().pointer_attribute(&type, kPointerMemoryType, at) != kSuccess) return 0;
    if (type != kMemoryHost) return 0;
    if (driver().pointer_attribute(mapped, kPointerDevicePointer, at) != kSuccess) return 0;
  }
  // Two registrations side by side need not be neighbours for the device.
  return last - first == end - host ? first : 0;
}

}  // namespace accel_cuda::kv
