// What torch's general code asks of an accelerator.
#include <ATen/detail/PrivateUse1HooksInterface.h>

#include <accel_sim/memory.hpp>

#include "checks.hpp"
#include "generator.hpp"
#include "storage.hpp"
#include "torch_mlu/allocator.hpp"
#include "torch_mlu/devices.hpp"

namespace torch_mlu {
namespace {

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return device_count() > 0; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return device_count(); }
  void setCurrentDevice(c10::DeviceIndex device) const override { set_device(device); }
  c10::DeviceIndex getCurrentDevice() const override { return current_device(); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    return exchange_device(device);
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    return exchange_device(device);
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex device) const override {
    return default_generator(device);
  }
  at::Generator getNewGenerator(c10::DeviceIndex device) const override {
    return new_generator(device);
  }
  c10::Device getDeviceFromPtr(void* data) const override {
    const accel_sim::Where where = accel_sim::where_is(data);
    TORCH_CHECK(where.on_device(), "data: expected memory of a device, given ", data);
    return device_at(static_cast<c10::DeviceIndex>(where.device));
  }
  bool isPinnedPtr(const void* data) const override {
    return accel_sim::where_is(data).page_locked();
  }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator(); }
  void resizePrivateUse1Bytes(const c10::Storage& storage, std::size_t bytes) const override {
    resize_storage(storage, bytes);
  }
};

// Registered once and never destroyed: torch keeps the pointer.
[[maybe_unused]] const bool registered = [] {
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

}  // namespace
}  // namespace torch_mlu
