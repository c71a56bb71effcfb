// Giving one copy or fill to a stream, in the way that its two places allow.
//
// Memory of the device and page-locked host memory: the copy engines when both sides are flat, one
// kernel when they are strided; between devices by the driver, packed on either side where strided.
// Pageable host memory: the driver when flat, else packed by the processor; that waits for the
// stream, and is refused while the stream is captured. Both sides on the host: a kernel when both
// are page-locked, so that the call does not wait; else the processor.
#pragma once

#include <accel/strided_plan.hpp>

#include <cstdint>
#include <string>

#include "../runtime/copy_kernels.hpp"
#include "../runtime/memory_place.hpp"
#include "../runtime/stream.hpp"

namespace accel_cuda {

class CopyIssue {
 public:
  // `call` names the caller in errors.
  CopyIssue(Runtime& runtime, StreamHandle stream, const char* call)
      : runtime_(runtime), stream_(stream), call_(call) {}

  // Each needs the GIL, and lets go of it where it may block.
  void flat(std::uintptr_t dst, const Place& dst_place, std::uintptr_t src, const Place& src_place,
            std::size_t nbytes);
  void strided(const accel::StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
               std::uintptr_t src, const Place& src_place);
  void fill(std::uintptr_t dst, const Place& place, std::uint8_t value, std::size_t nbytes);
  void fill_strided(const accel::StridedPlan& plan, std::uintptr_t dst, const Place& place,
                    std::uint8_t value);

  bool capturing();

 private:
  bool on_stream_device(const Place& place) const {
    return place.kind != Place::Kind::Device || place.device == runtime_.device.index;
  }
  void refuse_in_capture(const std::string& what);
  void wait_for_stream();
  void by_kernel(const accel::StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src,
                 const Place& dst_place, const Place& src_place);
  void through_packed(const accel::StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
                      std::uintptr_t src, const Place& src_place);
  void through_staging(const accel::StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
                       std::uintptr_t src, const Place& src_place);
  bool by_rows(const accel::StridedPlan& plan, std::uintptr_t dst, const Place& dst_place,
               std::uintptr_t src, const Place& src_place);

  Runtime& runtime_;
  const StreamHandle stream_;
  const char* const call_;
  int capturing_ = -1;  // not asked yet
};

}  // namespace accel_cuda
