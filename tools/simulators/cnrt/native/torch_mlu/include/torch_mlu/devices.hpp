// Devices as torch counts them: those that CNRT shows.
#pragma once

#include <c10/core/Device.h>

namespace torch_mlu __attribute__((visibility("default"))) {

constexpr auto kDevice = c10::DeviceType::PrivateUse1;

c10::DeviceIndex device_count() noexcept;
c10::DeviceIndex current_device();
void set_device(c10::DeviceIndex device);
c10::DeviceIndex exchange_device(c10::DeviceIndex device);  // gives the previous one
void synchronize_device(c10::DeviceIndex device);

inline c10::Device device_at(c10::DeviceIndex index) {
  return c10::Device(kDevice, index < 0 ? current_device() : index);
}

// Makes a device the thread's current one for a while.
class OnDevice {
 public:
  explicit OnDevice(c10::DeviceIndex device) : before_(exchange_device(device)) {}
  ~OnDevice();
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  const c10::DeviceIndex before_;
};

}  // namespace torch_mlu
