// Giving one copy or fill to a stream, in the way that its two places allow.
//
// Between a device and page-locked memory: one asynchronous call, flat or of rows. Pageable memory
// passes through the pinned pool: reading it takes no wait for the device, writing it does. Both
// sides on the host: a host function in the stream's order, or a wait where the vendor has none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "../said_once.hpp"
#include "../strided_plan.hpp"
#include "host_functions.hpp"
#include "memory_place.hpp"

namespace accel {

class CopyIssue {
 public:
  explicit CopyIssue(StreamState& state) : state_(state) {}

  // Each needs the GIL, and lets go of it where it may block.
  void flat(const FlatCopy& copy);

  // False when this needs operators of the device: strided memory of devices.
  bool strided(const StridedPlan& plan, std::uintptr_t dst, const MemoryPlace& dst_place,
               std::uintptr_t src, const MemoryPlace& src_place);

  // A plan of one dimension, row by row where nothing better is there.
  void rows(const StridedPlan& plan, std::uintptr_t dst, const MemoryPlace& dst_place,
            std::uintptr_t src, const MemoryPlace& src_place);

  // False for strided memory of a device.
  bool fill(const StridedPlan& plan, std::uintptr_t dst, const MemoryPlace& place,
            std::uint8_t value);

 private:
  static constexpr std::size_t kStagedAtOnce = std::size_t{16} << 20;
  static constexpr int kStagesInFlight = 4;
  static constexpr std::int64_t kMostCallsOfRows = 64;

  static char* host_pointer(std::uintptr_t at) { return reinterpret_cast<char*>(at); }
  static StridedPlan packed_side(const StridedPlan& plan, bool pack_dst);

  void by_call(const FlatCopy& copy);
  // How many calls of rows the plan takes; 0: that cannot be, or they are too many.
  static std::int64_t row_calls(const StridedPlan& plan, const MemoryPlace& dst,
                                const MemoryPlace& src);
  void by_calls_of_rows(const StridedPlan& plan, std::uintptr_t dst, const MemoryPlace& dst_place,
                        std::uintptr_t src, const MemoryPlace& src_place);
  void on_host(const StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src, bool pageable);
  void from_pageable(const FlatCopy& copy);
  void to_pageable(const FlatCopy& copy);
  bool pack(const StridedPlan& plan, std::uintptr_t dst, const MemoryPlace& dst_place,
            std::uintptr_t src, const MemoryPlace& src_place);

  StreamState& state_;
};

namespace detail {

// A block of the pinned pool for one call; the pool does not hand it out again before the stream
// has run past the work that `lend` was called after.
class Staging {
 public:
  explicit Staging(std::size_t nbytes) : block_(pinned_pool().allocate(nbytes, -1, false)) {}
  ~Staging() { pinned_pool().free(block_); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void lend(const StreamState& state) {
    pinned_pool().record_use(address(), block_->nbytes, state.point());
  }
  char* data() const { return block_->base; }
  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(block_->base); }
  MemoryPlace place() const { return {MemoryPlace::Kind::Pinned, -1}; }

 private:
  PinnedBlock* block_;
};

}  // namespace detail

inline void CopyIssue::by_call(const FlatCopy& copy) {
  pybind11::gil_scoped_release unlocked;
  OnDevice current(state_.device);
  runtime().copy(copy, state_.handle);
}

// --- flat ---------------------------------------------------------------------------------------

inline void CopyIssue::flat(const FlatCopy& copy) {
  if (copy.dst_place.on_host() && copy.src_place.on_host()) {
    on_host(StridedPlan({}, copy.nbytes), copy.dst, copy.src,
            copy.dst_place.pageable() || copy.src_place.pageable());
  } else if (copy.src_place.pageable()) {
    from_pageable(copy);
  } else if (copy.dst_place.pageable()) {
    to_pageable(copy);
  } else {
    by_call(copy);
  }
}

inline void CopyIssue::on_host(const StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src,
                               bool pageable) {
  if (!pageable && runtime().calls_host()) {
    HostFunctions::launch_copy(state_, plan, host_pointer(dst), host_pointer(src));
    return;
  }
  if (!pageable) {
    say_once("copies between pinned host memories wait for their stream: " +
             runtime().why_no_calls());
  }
  state_.wait();
  pybind11::gil_scoped_release unlocked;
  copy_on_host(plan, host_pointer(dst), host_pointer(src));
}

inline void CopyIssue::from_pageable(const FlatCopy& copy) {
  // The host's memory is read now, unless host functions may have yet to write to it.
  const bool later = HostFunctions::waiting() > 0;
  int in_flight = 0;
  for (std::size_t done = 0; done < copy.nbytes;) {
    const std::size_t part = std::min(copy.nbytes - done, kStagedAtOnce);
    if (in_flight++ == kStagesInFlight && !later) {
      state_.wait();
      in_flight = 1;
    }
    detail::Staging staging(part);
    if (later) {
      HostFunctions::launch_copy(state_, StridedPlan({}, part), staging.data(),
                                 host_pointer(copy.src + done));
    } else {
      pybind11::gil_scoped_release unlocked;
      std::memcpy(staging.data(), host_pointer(copy.src + done), part);
    }
    by_call({copy.dst + done, staging.address(), part, copy.dst_place, staging.place()});
    staging.lend(state_);
    done += part;
  }
}

inline void CopyIssue::to_pageable(const FlatCopy& copy) {
  for (std::size_t done = 0; done < copy.nbytes;) {
    const std::size_t part = std::min(copy.nbytes - done, kStagedAtOnce);
    detail::Staging staging(part);
    by_call({staging.address(), copy.src + done, part, staging.place(), copy.src_place});
    staging.lend(state_);
    state_.wait();
    pybind11::gil_scoped_release unlocked;
    std::memcpy(host_pointer(copy.dst + done), staging.data(), part);
    done += part;
  }
}

// --- strided ------------------------------------------------------------------------------------

// The same bytes, one side of them packed in the order of the plan's dimensions.
inline StridedPlan CopyIssue::packed_side(const StridedPlan& plan, bool pack_dst) {
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

inline std::int64_t CopyIssue::row_calls(const StridedPlan& plan, const MemoryPlace& dst,
                                        const MemoryPlace& src) {
  if (!runtime().copies_rows(dst, src) || plan.dims().empty()) return 0;
  const StridedPlan::Dim& inner = plan.dims().back();
  const auto run = static_cast<std::int64_t>(plan.run());
  if (inner.dst < run || inner.src < run) return 0;
  std::int64_t calls = 1;
  for (std::size_t k = 0; k + 1 < plan.dims().size(); ++k) {
    if (plan.dims()[k].extent > kMostCallsOfRows / calls) return 0;
    calls *= plan.dims()[k].extent;
  }
  return calls;
}

inline void CopyIssue::by_calls_of_rows(const StridedPlan& plan, std::uintptr_t dst,
                                        const MemoryPlace& dst_place, std::uintptr_t src,
                                        const MemoryPlace& src_place) {
  const std::int64_t calls = row_calls(plan, dst_place, src_place);
  const StridedPlan::Dim& inner = plan.dims().back();
  PitchedCopy copy{dst, src, static_cast<std::size_t>(inner.dst),
                   static_cast<std::size_t>(inner.src), plan.run(),
                   static_cast<std::size_t>(inner.extent)};
  pybind11::gil_scoped_release unlocked;
  OnDevice current(state_.device);
  for (std::int64_t call = 0; call < calls; ++call) {
    std::int64_t rest = call, to = 0, from = 0;
    for (std::size_t k = plan.dims().size() - 1; k-- > 0;) {
      const StridedPlan::Dim& dim = plan.dims()[k];
      to += rest % dim.extent * dim.dst;
      from += rest % dim.extent * dim.src;
      rest /= dim.extent;
    }
    copy.dst = dst + static_cast<std::uintptr_t>(to);
    copy.src = src + static_cast<std::uintptr_t>(from);
    runtime().copy_rows(copy, dst_place, src_place, state_.handle);
  }
}

inline bool CopyIssue::strided(const StridedPlan& plan, std::uintptr_t dst,
                               const MemoryPlace& dst_place, std::uintptr_t src,
                               const MemoryPlace& src_place) {
  if (plan.contiguous()) {
    flat({dst, src, plan.nbytes(), dst_place, src_place});
    return true;
  }
  const bool any_pageable = dst_place.pageable() || src_place.pageable();
  if (dst_place.on_host() && src_place.on_host()) {
    on_host(plan, dst, src, any_pageable);
    return true;
  }
  if (any_pageable) return pack(plan, dst, dst_place, src, src_place);
  if (row_calls(plan, dst_place, src_place) == 0) return false;
  by_calls_of_rows(plan, dst, dst_place, src, src_place);
  return true;
}

// Pageable: packed here, then as the device's side allows.
inline bool CopyIssue::pack(const StridedPlan& plan, std::uintptr_t dst,
                            const MemoryPlace& dst_place, std::uintptr_t src,
                            const MemoryPlace& src_place) {
  const std::size_t nbytes = plan.nbytes();
  if (nbytes > kStagedAtOnce * kStagesInFlight) return false;
  const bool to_device = !dst_place.on_host();
  const StridedPlan here = packed_side(plan, to_device), there = packed_side(plan, !to_device);
  const MemoryPlace packed{MemoryPlace::Kind::Pinned, -1};
  const bool flat_there = there.contiguous();
  const MemoryPlace &to = to_device ? dst_place : packed, &from = to_device ? packed : src_place;
  if (!flat_there && row_calls(there, to, from) == 0) return false;
  detail::Staging staging(nbytes);
  const auto move = [&](std::uintptr_t into, std::uintptr_t out_of) {
    if (flat_there) {
      by_call({into, out_of, nbytes, to, from});
    } else {
      by_calls_of_rows(there, into, to, out_of, from);
    }
    staging.lend(state_);
  };
  if (to_device) {
    if (HostFunctions::waiting() > 0) {
      HostFunctions::launch_copy(state_, here, staging.data(), host_pointer(src));
    } else {
      pybind11::gil_scoped_release unlocked;
      copy_on_host(here, staging.data(), host_pointer(src));
    }
    move(dst, staging.address());
    return true;
  }
  move(staging.address(), src);
  state_.wait();
  pybind11::gil_scoped_release unlocked;
  copy_on_host(here, host_pointer(dst), staging.data());
  return true;
}

inline void CopyIssue::rows(const StridedPlan& plan, std::uintptr_t dst,
                            const MemoryPlace& dst_place, std::uintptr_t src,
                            const MemoryPlace& src_place) {
  if (strided(plan, dst, dst_place, src, src_place)) return;
  say_once("copy_2d gives the stream one copy a row: " +
           runtime().why_no_rows(!dst_place.on_host() && !src_place.on_host()));
  const StridedPlan::Dim& dim = plan.dims().front();
  for (std::int64_t row = 0; row < dim.extent; ++row) {
    flat({dst + static_cast<std::uintptr_t>(row * dim.dst),
          src + static_cast<std::uintptr_t>(row * dim.src), plan.run(), dst_place, src_place});
  }
}

inline bool CopyIssue::fill(const StridedPlan& plan, std::uintptr_t dst, const MemoryPlace& place,
                            std::uint8_t value) {
  if (place.kind == MemoryPlace::Kind::Device) {
    if (!plan.contiguous()) return false;
    if (place.device != state_.device) {
      fail("DeviceError", "dst",
           "memory of the host or of " + detail::device_name(state_.device),
           "memory of " + detail::device_name(place.device), "use the backend of that device");
    }
    pybind11::gil_scoped_release unlocked;
    OnDevice current(state_.device);
    runtime().fill(dst, plan.nbytes(), value, state_.handle);
    return true;
  }
  if (!place.pageable() && runtime().calls_host()) {
    HostFunctions::launch_fill(state_, plan, host_pointer(dst), value);
    return true;
  }
  state_.wait();
  pybind11::gil_scoped_release unlocked;
  fill_on_host(plan, host_pointer(dst), value);
  return true;
}

}  // namespace accel
