#include "copy_issue.hpp"

#include <accel/errors.hpp>

#include <cstring>
#include <memory>

#include "../runtime/copy_limits.hpp"
#include "../runtime/host_copy.hpp"
#include "../runtime/pageable_copy.hpp"
#include "copy_elsewhere.hpp"
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

// A block of the pinned pool for one call; the pool does not hand it out again before the stream
// has passed what `lend` was called after.
class Staging {
 public:
  explicit Staging(std::size_t nbytes) : block_(CudaPinned::pool().allocate(nbytes, -1, false)) {}
  void lend(Runtime& runtime, StreamHandle stream) {
    CudaPinned::pool().record_use(address(), block_->nbytes, point_of(runtime, stream));
  }
  ~Staging() { CudaPinned::pool().free(block_); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  char* data() const { return block_->base; }
  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(block_->base); }

 private:
  accel::PinnedBlock* block_;
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
    // The host's memory is read now: what callbacks have yet to write to it comes first.
    if (src_place.on_host() && runtime_.callbacks_running.load() > 0) wait_for_stream();
    py::gil_scoped_release unlocked;  // the bytes go through pinned memory, and this thread waits
    const Place& device_side = src_place.on_host() ? dst_place : src_place;
    if (nbytes < kPageableInParts || !on_stream_device(device_side)) {
      Current current(runtime_.device);
      copy_any(dst, src, nbytes, stream_);
    } else if (src_place.on_host()) {
      copy_from_pageable(runtime_.device, stream_, CudaPinned::pool(), dst, host_pointer(src),
                         nbytes);
    } else {
      copy_to_pageable(runtime_.device, stream_, CudaPinned::pool(), host_pointer(dst), src,
                       nbytes);
    }
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
    staging->lend(runtime_, stream_);
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
