// ACL's calls as core's copies, marks and pinned memory need them.
#pragma once

#include <accel/torch_device/pinned.hpp>

namespace accel_ascend {

// The types of this module's pinned buffers.
struct AclPinned : accel::DevicePinned {};

class AclRuntime : public accel::DeviceRuntime {
 public:
  const Names& names() const override;

  int device_count() const override;
  int current_device() const noexcept override;
  void set_device(int index) const override;
  bool reaches(int from, int to) const override;

  void synchronize(accel::StreamHandle stream) const override;
  accel::EventHandle new_event() const override;
  bool record(accel::EventHandle event, accel::StreamHandle stream) const noexcept override;
  bool complete(accel::EventHandle event) const noexcept override;
  bool calls_host() const noexcept override;
  void call_host(accel::StreamHandle stream, accel::HostFunction function,
                 void* argument) const override;
  void end_calls() const override;
  std::string why_no_calls() const override;

  void copy(const accel::FlatCopy& copy, accel::StreamHandle stream) const override;
  bool copies_rows(const accel::MemoryPlace& dst,
                   const accel::MemoryPlace& src) const noexcept override;
  void copy_rows(const accel::PitchedCopy& copy, const accel::MemoryPlace& dst,
                 const accel::MemoryPlace& src, accel::StreamHandle stream) const override;
  std::string why_no_rows(bool on_devices) const override;
  std::size_t most_in_batch() const noexcept override;
  bool copy_batch(const accel::FlatCopy* copies, std::size_t count,
                  accel::StreamHandle stream) const override;
  std::string why_no_batch() const override;
  void fill(std::uintptr_t dst, std::size_t nbytes, std::uint8_t value,
            accel::StreamHandle stream) const override;

  void* allocate_host(std::size_t nbytes, std::string& why) const override;
  void free_host(void* base) const noexcept override;
  accel::FoundMemory find(std::uintptr_t at) const override;
  bool is_freed(void* owner) const override;
};

}  // namespace accel_ascend
