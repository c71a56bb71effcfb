// One accelerator: its primary context, which torch uses too, and what is known about it.
//
//   Device& device = Device::get(0);   // torch's index; retains the primary context once
//   Current current(device);           // for this scope the thread's context is the device's
#pragma once

#include <string>

#include "error.hpp"

namespace accel_cuda {

class Device {
 public:
  // The device with torch's index (which counts the visible ones, as the driver does). Throws
  // DriverFault, or DriverMissing when there is no such device. The result lives until the process
  // ends.
  static Device& get(int index);
  // Null when `get` has not been called for it.
  static Device* find(int index) noexcept;
  static int count();

  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const int index;
  const DeviceOrdinal ordinal;
  const ContextHandle context;

  // Read from a CUDA driver; HIP numbers attributes differently, so there torch's device
  // properties are passed in by set_properties.
  struct Properties {
    int multiprocessors = 0;
    int warp_size = 32;
    int major = 0, minor = 0;
    int max_threads_per_block = 1024;
    int max_threads_per_multiprocessor = 2048;
    int shared_per_block = 48 << 10;         // without asking for more
    int shared_per_block_opt_in = 48 << 10;  // after asking for it
    int shared_per_multiprocessor = 48 << 10;
    int l2_bytes = 0;
    int copy_engines = 1;
    int host_numa_node = -1;
  };
  const Properties& properties() const noexcept { return properties_; }
  void set_properties(const Properties& properties) noexcept { properties_ = properties; }

  const std::string& name() const noexcept { return name_; }
  const std::string& pci_bus_id() const noexcept { return pci_bus_id_; }
  int least_priority() const noexcept { return least_priority_; }
  int greatest_priority() const noexcept { return greatest_priority_; }

 private:
  Device(int index, DeviceOrdinal ordinal, ContextHandle context);

  Properties properties_;
  std::string name_, pci_bus_id_;
  int least_priority_ = 0, greatest_priority_ = 0;
};

// Makes the device's context the thread's, and puts back the one that was there, so that torch's
// current device stays what it was. About 20 ns when it is there already.
class Current {
 public:
  explicit Current(const Device& device) {
    ACCEL_CUDA_CALL(context_get_current, &before_);
    if (before_ == device.context) return;
    ACCEL_CUDA_CALL(context_set_current, device.context);
    // A thread that has no context yet is on device 0 as far as torch can see.
    restore_ = before_ != nullptr || device.index != 0;
  }
  ~Current() {
    if (restore_) driver().context_set_current(before_);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  ContextHandle before_ = nullptr;
  bool restore_ = false;
};

}  // namespace accel_cuda
