// CNRT's calls as core's copies, marks and pinned memory need them.
#pragma once

#include <accel/torch_device/pinned.hpp>

namespace accel_mlu {

// The types of this module's pinned buffers.
struct CnrtPinned : accel::DevicePinned {};

class CnrtRuntime : public accel::DeviceRuntime {
 public:
  using Queue = accel::StreamHandle;
  using Place = accel::MemoryPlace;

  const Names& names() const override;
  int device_count() const override;
  int current_device() const noexcept override;
  void set_device(int index) const override;
  bool reaches(int from, int to) const override;

  void synchronize(Queue queue) const override;
  accel::EventHandle new_event() const override;
  bool record(accel::EventHandle event, Queue queue) const noexcept override;
  bool complete(accel::EventHandle event) const noexcept override;
  bool calls_host() const noexcept override;
  void call_host(Queue queue, accel::HostFunction function, void* argument) const override;
  std::string why_no_calls() const override;

  void copy(const accel::FlatCopy& copy, Queue queue) const override;
  bool copies_rows(const Place& dst, const Place& src) const noexcept override;
  void copy_rows(const accel::PitchedCopy& copy, const Place& dst, const Place& src,
                 Queue queue) const override;
  std::string why_no_rows(bool on_devices) const override;
  void fill(std::uintptr_t dst, std::size_t nbytes, std::uint8_t value,
            Queue queue) const override;

  void* allocate_host(std::size_t nbytes, std::string& why) const override;
  void free_host(void* base) const noexcept override;
  accel::FoundMemory find(std::uintptr_t at) const override;
  bool is_freed(void* owner) const override;
};

}  // namespace accel_mlu
