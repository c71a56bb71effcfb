#include "copy_issue.hpp"

#include <accel/errors.hpp>

#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "../runtime/copy_limits.hpp"
#include "../runtime/host_copy.hpp"
#include "pinned.hpp"

namespace accel_cuda {
namespace {

namespace py = pybind11;

using accel::StridedPlan;
using Kind = Place::Kind;

constexpr std::size_t kStagedAtOnce = std::size_t{16} << 20;
constexpr std::size_t kMostPitch = (std::size_t{1} << 31) - 1;

bool pageable(const Place& place) {
  return place.kind == Kind::Pageable || place.kind == Kind::Mixed;
}

char* host_pointer(std::uintptr_t at) { return reinterpret_cast<char*>(at); }

void copy_any(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes, StreamHandle stream) {
  if (driver().memcpy_async != nullptr) {
    ACCEL_CUDA_CALL(memcpy_async, dst, src, nbytes, stream);
  } else {
    constexpr int kByAddress = 4;
    ACCEL_CUDA_CALL(memcpy_kind_async, reinterpret_cast<void*>(dst),
                    reinterpret_cast<const void*>(src), nbytes, kByAddress, stream);
  }
}

void copy_to_peer(std::uintptr_t dst, int dst_device, std::uintptr_t src, int src_device,
                  std::size_t nbytes, StreamHandle stream) {
  if (driver().memcpy_peer_async != nullptr) {
    ACCEL_CUDA_CALL(memcpy_peer_async, dst, Device::get(dst_device).context, src,
                    Device::get(src_device).context, nbytes, stream);
  } else {
    copy_any(dst, src, nbytes, stream);
  }
}

// --- memory for packing -------------------------------------------------------------------------

struct Scratch {
  py::object allocate, release;
};

Scratch& scratch() {
  static auto* only = new Scratch;  // never destroyed: the interpreter may be gone by then
  return *only;
}

// Device memory that belongs to one stream's order: it may be given back while work on it waits.
class ScratchMemory {
 public:
  ScratchMemory(std::size_t nbytes, int device, StreamHandle stream) {
    if (!scratch().allocate) {
      accel::fail_message("StateError", "no allocator was given to the native module");
    }
    address_ = py::cast<std::uintptr_t>(
        scratch().allocate(nbytes, device, reinterpret_cast<std::uintptr_t>(stream)));
  }
  ~ScratchMemory() {
    try {
      scratch().release(address_);
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("accel_cuda: giving back device memory");
    }
  }
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;
  std::uintptr_t address() const { return address_; }

 private:
  std::uintptr_t address_ = 0;
};

// A block of the pinned pool for one call.
class Staging {
 public:
  explicit Staging(std::size_t nbytes) : block_(CudaPinned::pool().allocate(nbytes, -1, false)) {}
  ~Staging() { CudaPinned::pool().free(block_); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  char* data() const { return block_->base; }
  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(block_->base); }

 private:
  accel::PinnedBlock* block_;
};

// --- work on another device, in a stream's order ------------------------------------------------

// A stream of the device for work that other devices' streams give away; one for each device.
StreamHandle side_stream(const Device& device) {
  static auto* streams = new std::map<int, std::shared_ptr<Stream>>;
  auto& stream = (*streams)[device.index];
  if (stream == nullptr) stream = Stream::create(device, 0);
  return stream->handle;
}

// `later` goes on when what `earlier` has now is done.
void order(Runtime& earlier_runtime, StreamHandle earlier, Runtime& later_runtime,
           StreamHandle later) {
  if (earlier == later && &earlier_runtime == &later_runtime) return;
  EventHandle event = nullptr;
  {
    Submission submission(earlier_runtime);
    event = earlier_runtime.take_event();
    ACCEL_CUDA_CALL(event_record, event, earlier);
  }
  {
    Submission submission(later_runtime);
    ACCEL_CUDA_CALL(stream_wait_event, later, event, 0);
  }
  earlier_runtime.give_event(event);  // a wait is for the recording that it saw
}

// Where a device's part of the work goes: the caller's stream, or the device's side stream between
// two waits.
class Elsewhere {
 public:
  Elsewhere(Runtime& home, StreamHandle stream, int device)
      : home_(home),
        runtime_(device == home.device.index ? home : Runtime::of(Device::get(device))),
        home_stream_(stream),
        stream_(&runtime_ == &home ? stream : side_stream(runtime_.device)) {
    order(home_, home_stream_, runtime_, stream_);
  }
  void join() { order(runtime_, stream_, home_, home_stream_); }
  Runtime& runtime() const { return runtime_; }
  StreamHandle stream() const { return stream_; }

 private:
  Runtime& home_;
  Runtime& runtime_;
  const StreamHandle home_stream_, stream_;
};

void launch_copy(Runtime& runtime, StreamHandle stream, const StridedPlan& plan,
                 std::uintptr_t dst, std::uintptr_t src) {
  const CopyKernels& kernels = CopyKernels::of(runtime.device);
  const auto launches = plan_copy(plan, dst, src, kernels.most_blocks());
  Submission submission(runtime);
  for (const StridedLaunch& each : launches) kernels.launch(each, stream);
}

// The device whose kernel reaches both places; the stream's own where it makes no difference.
int kernel_device(const Place& a, const Place& b, int home) {
  if (a.kind == Kind::Device) return a.device;
  if (b.kind == Kind::Device) return b.device;
  return home;
}

}  // namespace

void use_scratch(py::object allocate, py::object release) {
  scratch().allocate = std::move(allocate);
  scratch().release = std::move(release);
}

bool CopyIssue::capturing() {
  if (capturing_ < 0) capturing_ = is_capturing(stream_) ? 1 : 0;
  return capturing_ != 0;
}

void CopyIssue::refuse_in_capture(const std::string& what) {
  if (!capturing()) return;
  accel::fail_message("StateError", std::string(call_) + " of " + what +
                                        " cannot be part of a graph: it needs the host, which "
                                        "a replay does not wait for. Use pinned memory "
                                        "(backend.pinned) and contiguous tensors");
}

void CopyIssue::wait_for_stream() {
  wait_interruptibly([this] {
    Current current(runtime_.device);
    const Result result = driver().stream_query(stream_);
    if (result == kNotReady) return false;
    check(result, Entry::stream_query);
    return true;
  });
}

// --- flat ---------------------------------------------------------------------------------------

void CopyIssue::flat(std::uintptr_t dst, const Place& dst_place, std::uintptr_t src,
                     const Place& src_place, std::size_t nbytes) {
  if (!pageable(dst_place) && !pageable(src_place)) {
    const int here = runtime_.device.index;
    const bool both_on_host = dst_place.on_host() && src_place.on_host();
    const bool none_on_host = !dst_place.on_host() && !src_place.on_host();
    if (both_on_host || (none_on_host && nbytes <= copy_limits().kernel_on_device && dst_place.reachable_from(here) &&
                         src_place.reachable_from(here))) {
      const CopyKernels& kernels = CopyKernels::of(runtime_.device);
      Submission submission(runtime_);
      kernels.launch_flat(dst, src, nbytes, stream_);
      return;
    }
    const bool peers = dst_place.kind == Kind::Device && src_place.kind == Kind::Device &&
                       dst_place.device != src_place.device;
    Submission submission(runtime_);
    if (peers) {
      copy_to_peer(dst, dst_place.device, src, src_place.device, nbytes, stream_);
    } else {
      copy_any(dst, src, nbytes, stream_);
    }
    return;
  }
  refuse_in_capture("pageable memory");
  if (dst_place.on_host() && src_place.on_host()) {
    wait_for_stream();
    py::gil_scoped_release unlocked;
    std::memcpy(host_pointer(dst), host_pointer(src), nbytes);
  } else if (dst_place.kind == Kind::Mixed || src_place.kind == Kind::Mixed) {
    through_staging(StridedPlan({}, nbytes), dst, dst_place, src, src_place);
  } else {
    py::gil_scoped_release unlocked;  // the driver copies through memory of its own, and waits
    Current current(runtime_.device);
    copy_any(dst, src, nbytes, stream_);
  }
}

// --- strided ------------------------------------------------------------------------------------

void CopyIssue::strided(const StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
                        std::uintptr_t src, const Place& src_place) {
  if (plan.contiguous()) {
    flat(dst, dst_place, src, src_place, plan.nbytes());
    return;
  }
  const bool waits = pageable(dst_place) || pageable(src_place);
  if (waits) refuse_in_capture("pageable memory");
  if (waits && dst_place.on_host() && src_place.on_host()) {
    wait_for_stream();
    py::gil_scoped_release unlocked;
    copy_on_host(plan.dims(), plan.run(), host_pointer(dst), host_pointer(src));
  } else if (by_rows(plan, dst, dst_place, src, src_place)) {
    return;
  } else if (waits) {
    through_staging(plan, dst, dst_place, src, src_place);
  } else if (dst_place.kind == Kind::Device && src_place.kind == Kind::Device &&
             dst_place.device != src_place.device) {
    through_packed(plan, dst, dst_place, src, src_place);
  } else {
    by_kernel(plan, dst, src, dst_place, src_place);
  }
}

void CopyIssue::by_kernel(const StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src,
                          const Place& dst_place, const Place& src_place) {
  Elsewhere there(runtime_, stream_,
                  kernel_device(dst_place, src_place, runtime_.device.index));
  launch_copy(there.runtime(), there.stream(), plan, dst, src);
  there.join();
}

// Rows with a pitch on either side, where one side is the host: true when the copy engines took
// them. They read and write host memory without a kernel, but take narrow rows one by one.
bool CopyIssue::by_rows(const StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
                        std::uintptr_t src, const Place& src_place) {
  if (plan.dims().size() != 1 || dst_place.on_host() == src_place.on_host()) return false;
  if (dst_place.kind == Kind::Mixed || src_place.kind == Kind::Mixed) return false;
  if (!on_stream_device(dst_place) || !on_stream_device(src_place)) return false;
  const StridedPlan::Dim& rows = plan.dims().front();
  const auto to = static_cast<std::size_t>(rows.dst), from = static_cast<std::size_t>(rows.src);
  if (to < plan.run() || from < plan.run() || to > kMostPitch || from > kMostPitch) return false;
  const bool waits = pageable(dst_place) || pageable(src_place);
  if (plan.run() < copy_limits().rows_by_engine) return false;
  Memcpy2D copy{};
  const auto side = [](const Place& place, std::uintptr_t at, unsigned& type, DevicePointer& device,
                       auto& host) {
    if (place.on_host()) {
      type = kMemoryHost;
      host = host_pointer(at);
    } else {
      type = kMemoryDevice;
      device = at;
    }
  };
  side(dst_place, dst, copy.dst_type, copy.dst_device, copy.dst_host);
  side(src_place, src, copy.src_type, copy.src_device, copy.src_host);
  copy.dst_pitch = to;
  copy.src_pitch = from;
  copy.width = plan.run();
  copy.height = static_cast<std::size_t>(rows.extent);
  if (waits) {
    py::gil_scoped_release unlocked;
    Current current(runtime_.device);
    ACCEL_CUDA_CALL(memcpy_2d_async, &copy, stream_);
  } else {
    Submission submission(runtime_);
    ACCEL_CUDA_CALL(memcpy_2d_async, &copy, stream_);
  }
  return true;
}

// Between devices: packed by a kernel of the source's, copied by the driver, unpacked by one of the
// destination's. No kernel touches the other device's memory.
void CopyIssue::through_packed(const StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
                               std::uintptr_t src, const Place& src_place) {
  refuse_in_capture("strided tensors on two devices");
  const std::size_t nbytes = plan.nbytes();
  Elsewhere at_src(runtime_, stream_, src_place.device);
  std::unique_ptr<ScratchMemory> from, to;
  if (!is_packed(plan, PackedSide::Src)) {
    from = std::make_unique<ScratchMemory>(nbytes, src_place.device, at_src.stream());
    launch_copy(at_src.runtime(), at_src.stream(),
                StridedPlan(packed(plan.dims(), plan.run(), PackedSide::Dst), plan.run()),
                from->address(), src);
  }
  at_src.join();
  Elsewhere at_dst(runtime_, stream_, dst_place.device);
  if (!is_packed(plan, PackedSide::Dst)) {
    to = std::make_unique<ScratchMemory>(nbytes, dst_place.device, at_dst.stream());
  }
  {
    Submission submission(at_dst.runtime());
    copy_to_peer(to != nullptr ? to->address() : dst, dst_place.device,
                 from != nullptr ? from->address() : src, src_place.device, nbytes,
                 at_dst.stream());
  }
  if (to != nullptr) {
    launch_copy(at_dst.runtime(), at_dst.stream(),
                StridedPlan(packed(plan.dims(), plan.run(), PackedSide::Src), plan.run()), dst,
                to->address());
  }
  at_dst.join();
  // `from` goes back to at_src's stream, which must not go on before it was read.
  order(runtime_, stream_, at_src.runtime(), at_src.stream());
}

// Pageable memory on one side: the processor packs or unpacks it, part by part, in pinned memory.
void CopyIssue::through_staging(const StridedPlan& plan, std::uintptr_t dst,
                                const Place& dst_place, std::uintptr_t src,
                                const Place& src_place) {
  const bool to_device = src_place.on_host();
  const Place& device_side = to_device ? dst_place : src_place;
  wait_for_stream();  // the host's side may be what earlier work writes or reads
  const Place pinned{Kind::Pinned, -1};
  for_each_part(plan, kStagedAtOnce, [&](const PlanPart& part) {
    const std::uintptr_t to = dst + static_cast<std::uintptr_t>(part.dst);
    const std::uintptr_t from = src + static_cast<std::uintptr_t>(part.src);
    std::unique_ptr<Staging> staging;
    const auto pack = packed(part.dims, part.run, PackedSide::Dst);
    const auto unpack = packed(part.dims, part.run, PackedSide::Src);
    {
      py::gil_scoped_release unlocked;
      staging = std::make_unique<Staging>(part.nbytes);
      if (to_device) copy_on_host(pack, part.run, staging->data(), host_pointer(from));
    }
    if (to_device) {
      strided(StridedPlan(unpack, part.run), to, device_side, staging->address(), pinned);
    } else {
      strided(StridedPlan(pack, part.run), staging->address(), pinned, from, device_side);
    }
    wait_for_stream();
    if (!to_device) {
      py::gil_scoped_release unlocked;
      copy_on_host(unpack, part.run, host_pointer(to), staging->data());
    }
  });
}

// --- fills --------------------------------------------------------------------------------------

void CopyIssue::fill(std::uintptr_t dst, const Place& place, std::uint8_t value,
                     std::size_t nbytes) {
  if (place.kind == Kind::Device && on_stream_device(place)) {
    Submission submission(runtime_);
    ACCEL_CUDA_CALL(memset_8_async, dst, value, nbytes, stream_);
  } else {
    fill_strided(StridedPlan({}, nbytes), dst, place, value);
  }
}

void CopyIssue::fill_strided(const StridedPlan& plan, std::uintptr_t dst, const Place& place,
                             std::uint8_t value) {
  if (pageable(place)) {
    refuse_in_capture("pageable memory");
    wait_for_stream();
    py::gil_scoped_release unlocked;
    fill_on_host(plan.dims(), plan.run(), host_pointer(dst), value);
    return;
  }
  Elsewhere there(runtime_, stream_, kernel_device(place, place, runtime_.device.index));
  const CopyKernels& kernels = CopyKernels::of(there.runtime().device);
  const auto launches = plan_fill(plan, dst, value, kernels.most_blocks());
  {
    Submission submission(there.runtime());
    for (const StridedLaunch& each : launches) kernels.launch(each, there.stream());
  }
  there.join();
}

}  // namespace accel_cuda
