// Giving one copy or fill to a stream, in the way that its two places allow.
//
// Between a device and page-locked memory: one asynchronous ACL call, flat or of rows. Pageable
// memory passes through the pinned pool: reading it takes no wait for the device, writing it does.
// Both sides on the host: a host function in the stream's order, or a wait where CANN has none.
#pragma once

#include <accel/strided_plan.hpp>

#include <cstdint>

#include "memory_place.hpp"
#include "stream_state.hpp"

namespace accel_ascend {

class CopyIssue {
 public:
  explicit CopyIssue(StreamState& state) : state_(state) {}

  // Each needs the GIL, and lets go of it where it may block.
  void flat(std::uintptr_t dst, const Place& dst_place, std::uintptr_t src, const Place& src_place,
            std::size_t nbytes);

  // False when this needs operators of the device: strided memory of devices.
  bool strided(const accel::StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
               std::uintptr_t src, const Place& src_place);

  // A plan of one dimension, row by row where nothing better is there.
  void rows(const accel::StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
            std::uintptr_t src, const Place& src_place);

  // False for strided memory of a device.
  bool fill(const accel::StridedPlan& plan, std::uintptr_t dst, const Place& place,
            std::uint8_t value);

 private:
  void on_host(const accel::StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src,
               bool pageable);
  void from_pageable(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes);
  void to_pageable(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes);
  void by_call(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes, CopyKind kind);
  void by_2d_call(std::uintptr_t dst, std::size_t to, std::uintptr_t src, std::size_t from,
                  std::size_t width, std::size_t height, CopyKind kind);
  bool by_2d_calls(const accel::StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src,
                   CopyKind kind);
  // Between a device and page-locked memory; false when too many calls were needed.
  bool between(const accel::StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src,
               CopyKind kind);
  void connect(const Place& a, const Place& b);

  StreamState& state_;
};

}  // namespace accel_ascend
