#include "torch_mlu/devices.hpp"

#include <c10/util/Exception.h>

#include "checks.hpp"

namespace torch_mlu {

c10::DeviceIndex device_count() noexcept {
  unsigned int count = 0;
  return cnrtGetDeviceCount(&count) == cnrtSuccess ? static_cast<c10::DeviceIndex>(count) : 0;
}

c10::DeviceIndex current_device() {
  int device = 0;
  MLU_CHECK(cnrtGetDevice, &device);
  return static_cast<c10::DeviceIndex>(device);
}

void set_device(c10::DeviceIndex device) {
  TORCH_CHECK(device >= 0 && device < device_count(), "device: expected 0 to ",
              int{device_count()} - 1, ", given ", int{device});
  MLU_CHECK(cnrtSetDevice, device);
}

c10::DeviceIndex exchange_device(c10::DeviceIndex device) {
  const c10::DeviceIndex before = current_device();
  if (device >= 0 && device != before) set_device(device);
  return before;
}

OnDevice::~OnDevice() { cnrtSetDevice(before_); }

void synchronize_device(c10::DeviceIndex device) {
  const OnDevice here(device);
  MLU_CHECK(cnrtSyncDevice);
}

}  // namespace torch_mlu
