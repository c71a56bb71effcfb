#include "copy_issue.hpp"

#include <accel/errors.hpp>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "../bindings/pinned.hpp"
#include "host_functions.hpp"
#include "said_once.hpp"

namespace accel_ascend {
namespace {

namespace py = pybind11;

using accel::StridedPlan;
using Kind = Place::Kind;

constexpr std::size_t kStagedAtOnce = std::size_t{16} << 20;
constexpr int kStagesInFlight = 4;
constexpr std::int64_t kMost2dCalls = 64;

void* device_pointer(std::uintptr_t at) { return reinterpret_cast<void*>(at); }
char* host_pointer(std::uintptr_t at) { return reinterpret_cast<char*>(at); }

// A block of the pinned pool for one call; the pool does not hand it out again before the stream
// has run past the work that `lend` was called after.
class Staging {
 public:
  explicit Staging(std::size_t nbytes)
      : block_(AclPinned::pool().allocate(nbytes, -1, false)) {}
  void lend(const StreamState& state) {
    AclPinned::pool().record_use(address(), block_->nbytes, state.point());
  }
  ~Staging() { AclPinned::pool().free(block_); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  char* data() const { return block_->base; }
  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(block_->base); }

 private:
  accel::PinnedBlock* block_;
};

CopyKind kind_of(const Place& dst, const Place& src) {
  if (dst.on_host()) return src.on_host() ? kHostToHost : kDeviceToHost;
  return src.on_host() ? kHostToDevice : kDeviceToDevice;
}

bool pageable(const Place& place) { return place.kind == Kind::Pageable; }

// The same bytes, one side of them packed in the order of the plan's dimensions.
StridedPlan packed_side(const StridedPlan& plan, bool pack_dst) {
  const std::size_t axes = plan.dims().size();
  std::vector<std::int64_t> shape(axes), dst(axes), src(axes);
  auto dense = static_cast<std::int64_t>(plan.run());
  const std::int64_t run = dense;
  for (std::size_t k = axes; k-- > 0;) {
    const StridedPlan::Dim& dim = plan.dims()[k];
    shape[k] = dim.extent;
    dst[k] = pack_dst ? dense : dim.dst;
    src[k] = pack_dst ? dim.src : dense;
    dense *= dim.extent;
  }
  return StridedPlan(shape, dst, src, run);
}

}  // namespace

void CopyIssue::by_call(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes,
                        CopyKind kind) {
  py::gil_scoped_release unlocked;
  Current current(state_.device);
  ACCEL_ACL_CALL(memcpy_async, device_pointer(dst), nbytes, device_pointer(src), nbytes, kind,
                 state_.handle);
}

void CopyIssue::by_2d_call(std::uintptr_t dst, std::size_t to, std::uintptr_t src,
                           std::size_t from, std::size_t width, std::size_t height,
                           CopyKind kind) {
  py::gil_scoped_release unlocked;
  Current current(state_.device);
  ACCEL_ACL_CALL(memcpy_2d_async, device_pointer(dst), to, device_pointer(src), from, width,
                 height, kind, state_.handle);
}

// Peers reach each other's memory once that was switched on, either way.
void CopyIssue::connect(const Place& a, const Place& b) {
  if (acl().enable_peer_access == nullptr) return;
  static std::mutex mutex;
  static auto* const connected = new std::set<std::pair<int, int>>;
  for (const auto& [one, other] : {std::pair{a.device, b.device}, std::pair{a.device, state_.device},
                                   std::pair{b.device, state_.device}}) {
    if (one == other) continue;
    std::lock_guard<std::mutex> lock(mutex);
    if (!connected->insert(std::minmax(one, other)).second) continue;
    for (const auto& [from, to] : {std::pair{one, other}, std::pair{other, one}}) {
      Current current(from);
      // What fails here shows in the copy; torch_npu may have done it already.
      acl().enable_peer_access(to, 0);
    }
  }
}

// --- flat ---------------------------------------------------------------------------------------

void CopyIssue::flat(std::uintptr_t dst, const Place& dst_place, std::uintptr_t src,
                     const Place& src_place, std::size_t nbytes) {
  if (dst_place.on_host() && src_place.on_host()) {
    on_host(StridedPlan({}, nbytes), dst, src, pageable(dst_place) || pageable(src_place));
  } else if (pageable(src_place)) {
    from_pageable(dst, src, nbytes);
  } else if (pageable(dst_place)) {
    to_pageable(dst, src, nbytes);
  } else {
    if (!dst_place.on_host() && !src_place.on_host()) connect(dst_place, src_place);
    by_call(dst, src, nbytes, kind_of(dst_place, src_place));
  }
}

void CopyIssue::on_host(const StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src,
                        bool any_pageable) {
  if (!any_pageable && has_host_functions()) {
    launch_copy(state_, plan, host_pointer(dst), host_pointer(src));
    return;
  }
  if (!any_pageable) {
    say_once("this CANN has no aclrtLaunchHostFunc: copies between pinned host memories wait for "
             "their stream. Cure: upgrade CANN");
  }
  wait_for(state_);
  py::gil_scoped_release unlocked;
  copy_on_host(plan, host_pointer(dst), host_pointer(src));
}

void CopyIssue::from_pageable(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes) {
  // The host's memory is read now, unless host functions may have yet to write to it.
  const bool later = functions_waiting() > 0;
  int in_flight = 0;
  for (std::size_t done = 0; done < nbytes;) {
    const std::size_t part = std::min(nbytes - done, kStagedAtOnce);
    if (in_flight++ == kStagesInFlight && !later) {
      wait_for(state_);
      in_flight = 1;
    }
    Staging staging(part);
    if (later) {
      launch_copy(state_, StridedPlan({}, part), staging.data(), host_pointer(src + done));
    } else {
      py::gil_scoped_release unlocked;
      std::memcpy(staging.data(), host_pointer(src + done), part);
    }
    by_call(dst + done, staging.address(), part, kHostToDevice);
    staging.lend(state_);
    done += part;
  }
}

void CopyIssue::to_pageable(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes) {
  for (std::size_t done = 0; done < nbytes;) {
    const std::size_t part = std::min(nbytes - done, kStagedAtOnce);
    Staging staging(part);
    by_call(staging.address(), src + done, part, kDeviceToHost);
    staging.lend(state_);
    wait_for(state_);
    py::gil_scoped_release unlocked;
    std::memcpy(host_pointer(dst + done), staging.data(), part);
    done += part;
  }
}

// --- strided ------------------------------------------------------------------------------------

bool CopyIssue::by_2d_calls(const StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src,
                            CopyKind kind) {
  if (acl().memcpy_2d_async == nullptr || plan.dims().empty()) return false;
  const StridedPlan::Dim& inner = plan.dims().back();
  const auto run = static_cast<std::int64_t>(plan.run());
  if (inner.dst < run || inner.src < run) return false;
  std::int64_t calls = 1;
  for (std::size_t k = 0; k + 1 < plan.dims().size(); ++k) {
    if (plan.dims()[k].extent > kMost2dCalls / calls) return false;
    calls *= plan.dims()[k].extent;
  }
  for (std::int64_t call = 0; call < calls; ++call) {
    std::int64_t rest = call, to = 0, from = 0;
    for (std::size_t k = plan.dims().size() - 1; k-- > 0;) {
      const StridedPlan::Dim& dim = plan.dims()[k];
      to += rest % dim.extent * dim.dst;
      from += rest % dim.extent * dim.src;
      rest /= dim.extent;
    }
    by_2d_call(dst + static_cast<std::uintptr_t>(to), static_cast<std::size_t>(inner.dst),
               src + static_cast<std::uintptr_t>(from), static_cast<std::size_t>(inner.src),
               plan.run(), static_cast<std::size_t>(inner.extent), kind);
  }
  return true;
}

bool CopyIssue::between(const StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src,
                        CopyKind kind) {
  if (!plan.contiguous()) return by_2d_calls(plan, dst, src, kind);
  by_call(dst, src, plan.nbytes(), kind);
  return true;
}

bool CopyIssue::strided(const StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
                        std::uintptr_t src, const Place& src_place) {
  if (plan.contiguous()) {
    flat(dst, dst_place, src, src_place, plan.nbytes());
    return true;
  }
  if (dst_place.on_host() && src_place.on_host()) {
    on_host(plan, dst, src, pageable(dst_place) || pageable(src_place));
    return true;
  }
  if (!dst_place.on_host() && !src_place.on_host()) return false;
  const CopyKind kind = kind_of(dst_place, src_place);
  if (!pageable(dst_place) && !pageable(src_place)) return by_2d_calls(plan, dst, src, kind);
  // Pageable: packed here, then as the device's side allows.
  const std::size_t nbytes = plan.nbytes();
  if (nbytes > kStagedAtOnce * kStagesInFlight) return false;
  Staging staging(nbytes);
  if (kind == kHostToDevice) {
    if (functions_waiting() > 0) {
      launch_copy(state_, packed_side(plan, true), staging.data(), host_pointer(src));
    } else {
      py::gil_scoped_release unlocked;
      copy_on_host(packed_side(plan, true), staging.data(), host_pointer(src));
    }
    if (!between(packed_side(plan, false), dst, staging.address(), kind)) return false;
    staging.lend(state_);
    return true;
  }
  if (!between(packed_side(plan, true), staging.address(), src, kind)) return false;
  staging.lend(state_);
  wait_for(state_);
  py::gil_scoped_release unlocked;
  copy_on_host(packed_side(plan, false), host_pointer(dst), staging.data());
  return true;
}

void CopyIssue::rows(const StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
                     std::uintptr_t src, const Place& src_place) {
  if (strided(plan, dst, dst_place, src, src_place)) return;
  const bool on_devices = !dst_place.on_host() && !src_place.on_host();
  say_once(on_devices
               ? "ACL has no pitched copy between device memories: copy_2d gives it one copy a row. "
                 "Cure: copy tensors with strides, which an operator of the device takes"
               : "this CANN has no aclrtMemcpy2dAsync: copy_2d gives it one copy a row. Cure: "
                 "upgrade CANN");
  const StridedPlan::Dim& dim = plan.dims().front();
  for (std::int64_t row = 0; row < dim.extent; ++row) {
    flat(dst + static_cast<std::uintptr_t>(row * dim.dst), dst_place,
         src + static_cast<std::uintptr_t>(row * dim.src), src_place, plan.run());
  }
}

bool CopyIssue::fill(const StridedPlan& plan, std::uintptr_t dst, const Place& place,
                     std::uint8_t value) {
  if (place.kind == Kind::Device) {
    if (!plan.contiguous()) return false;
    if (place.device != state_.device) {
      accel::fail("DeviceError", "dst", "memory of the host or of npu:" +
                                            std::to_string(state_.device),
                  "memory of npu:" + std::to_string(place.device),
                  "use the backend of that device");
    }
    py::gil_scoped_release unlocked;
    Current current(state_.device);
    ACCEL_ACL_CALL(memset_async, device_pointer(dst), plan.nbytes(), value, plan.nbytes(),
                   state_.handle);
    return true;
  }
  if (!pageable(place) && has_host_functions()) {
    launch_fill(state_, plan, host_pointer(dst), value);
    return true;
  }
  wait_for(state_);
  py::gil_scoped_release unlocked;
  fill_on_host(plan, host_pointer(dst), value);
  return true;
}

}  // namespace accel_ascend
