#include "device.hpp"

#include <array>
#include <atomic>
#include <mutex>

namespace accel_cuda {
namespace {

constexpr int kMostDevices = 256;
std::array<std::atomic<Device*>, kMostDevices> devices{};
std::mutex making;

int attribute(DeviceOrdinal ordinal, int which, int otherwise) {
  int value = 0;
  if (driver().device_attribute == nullptr ||
      driver().device_attribute(&value, which, ordinal) != kSuccess) {
    return otherwise;
  }
  return value;
}

Device::Properties read_properties(DeviceOrdinal ordinal) {
  Device::Properties p;
  p.multiprocessors = attribute(ordinal, kAttributeMultiprocessors, p.multiprocessors);
  p.warp_size = attribute(ordinal, kAttributeWarpSize, p.warp_size);
  p.major = attribute(ordinal, kAttributeMajor, p.major);
  p.minor = attribute(ordinal, kAttributeMinor, p.minor);
  p.max_threads_per_block =
      attribute(ordinal, kAttributeMaxThreadsPerBlock, p.max_threads_per_block);
  p.max_threads_per_multiprocessor =
      attribute(ordinal, kAttributeMaxThreadsPerMultiprocessor, p.max_threads_per_multiprocessor);
  p.shared_per_block = attribute(ordinal, kAttributeMaxSharedPerBlock, p.shared_per_block);
  p.shared_per_block_opt_in =
      attribute(ordinal, kAttributeMaxSharedPerBlockOptIn, p.shared_per_block);
  p.shared_per_multiprocessor =
      attribute(ordinal, kAttributeMaxSharedPerMultiprocessor, p.shared_per_block);
  p.l2_bytes = attribute(ordinal, kAttributeL2Bytes, p.l2_bytes);
  p.copy_engines = attribute(ordinal, kAttributeCopyEngines, p.copy_engines);
  p.host_numa_node = attribute(ordinal, kAttributeHostNumaId, p.host_numa_node);
  return p;
}

}  // namespace

Device::Device(int index_, DeviceOrdinal ordinal_, ContextHandle context_)
    : index(index_), ordinal(ordinal_), context(context_) {
  properties_ = read_properties(ordinal);
  char text[256] = {};
  if (driver().device_name(text, sizeof text - 1, ordinal) == kSuccess) name_ = text;
  char bus[64] = {};
  if (driver().device_pci_bus_id(bus, sizeof bus - 1, ordinal) == kSuccess) pci_bus_id_ = bus;
  Current current(*this);
  ACCEL_CUDA_CALL(stream_priority_range, &least_priority_, &greatest_priority_);
}

int Device::count() {
  int number = 0;
  ACCEL_CUDA_CALL(device_count, &number);
  return number;
}

Device* Device::find(int index) noexcept {
  if (index < 0 || index >= kMostDevices) return nullptr;
  return devices[static_cast<std::size_t>(index)].load(std::memory_order_acquire);
}

Device& Device::get(int index) {
  if (Device* known = find(index)) return *known;
  std::lock_guard<std::mutex> lock(making);
  if (Device* known = find(index)) return *known;
  const int number = count();
  if (index < 0 || index >= number || index >= kMostDevices) {
    throw DriverMissing("the driver sees " + std::to_string(number) +
                            " devices, and none with index " + std::to_string(index),
                        "name a lower index, or make more devices visible");
  }
  DeviceOrdinal ordinal = 0;
  ACCEL_CUDA_CALL(device_get, &ordinal, index);
  ContextHandle context = nullptr;
  ACCEL_CUDA_CALL(context_retain, &context, ordinal);
  auto* made = new Device(index, ordinal, context);  // never destroyed: others hold references
  devices[static_cast<std::size_t>(index)].store(made, std::memory_order_release);
  return *made;
}

}  // namespace accel_cuda
