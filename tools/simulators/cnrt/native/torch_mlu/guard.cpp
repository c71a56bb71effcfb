// How torch's general code reaches devices, streams and events.
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "checks.hpp"
#include "events.hpp"
#include "torch_mlu/allocator.hpp"
#include "torch_mlu/devices.hpp"
#include "torch_mlu/streams.hpp"

namespace torch_mlu {
namespace {

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kDevice; }
  c10::Device exchangeDevice(c10::Device next) const override {
    return {kDevice, exchange_device(next.index())};
  }
  c10::Device getDevice() const override { return {kDevice, current_device()}; }
  void setDevice(c10::Device device) const override {
    if (device.index() >= 0) set_device(device.index());
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.index() >= 0) cnrtSetDevice(device.index());
  }
  c10::DeviceIndex deviceCount() const noexcept override { return device_count(); }

  c10::Stream getStream(c10::Device device) const override {
    return current_stream(device.index());
  }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return default_stream(device.index());
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool first) const override {
    return pool_stream(device.index(), first ? -1 : 0);
  }
  c10::Stream getNewStream(c10::Device device, int priority) const override {
    return pool_stream(device.index(), priority);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override { return exchange_stream(stream); }
  void* getStreamNativeHandle(const c10::Stream stream) const override { return queue_of(stream); }
  bool queryStream(const c10::Stream& stream) const override { return query_stream(stream); }
  void synchronizeStream(const c10::Stream& stream) const override {
    torch_mlu::synchronize_stream(stream);
  }
  void synchronizeDevice(const c10::DeviceIndex device) const override {
    torch_mlu::synchronize_device(device);
  }

  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex,
              const c10::EventFlag flag) const override {
    if (*event == nullptr) {
      *event = create_event(stream.device_index(), flag == c10::EventFlag::BACKEND_DEFAULT);
    }
    record_event(*event, stream);
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event != nullptr) wait_event(event, stream);
  }
  bool queryEvent(void* event) const override { return event == nullptr || query_event(event); }
  void synchronizeEvent(void* event) const override {
    if (event != nullptr) synchronize_event(event);
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    if (event != nullptr) destroy_event(event);
  }
  double elapsedTime(void* start, void* end, const c10::DeviceIndex) const override {
    return elapsed_ms(start, end);
  }
  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    record_stream(data, stream);
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

}  // namespace
}  // namespace torch_mlu
