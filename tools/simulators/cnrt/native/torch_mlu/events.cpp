#include "events.hpp"

#include "checks.hpp"
#include "torch_mlu/devices.hpp"
#include "torch_mlu/streams.hpp"

namespace torch_mlu {

void* create_event(c10::DeviceIndex device, bool timing) {
  const OnDevice here(device);
  cnrtNotifier_t event = nullptr;
  MLU_CHECK(cnrtNotifierCreateWithFlags, &event,
            timing ? CNRT_NOTIFIER_DEFAULT : CNRT_NOTIFIER_DISABLE_TIMING_ALL);
  return event;
}

void destroy_event(void* event) noexcept { cnrtNotifierDestroy(event); }

void record_event(void* event, const c10::Stream& stream) {
  const OnDevice here(stream.device_index());
  MLU_CHECK(cnrtPlaceNotifier, event, queue_of(stream));
}

void wait_event(void* event, const c10::Stream& stream) {
  const OnDevice here(stream.device_index());
  MLU_CHECK(cnrtQueueWaitNotifier, event, queue_of(stream), 0);
}

void synchronize_event(void* event) { MLU_CHECK(cnrtWaitNotifier, event); }

bool query_event(void* event) {
  const cnrtRet_t code = cnrtQueryNotifier(event);
  if (!is_busy(code)) check(code, "cnrtQueryNotifier");
  return code == cnrtSuccess;
}

double elapsed_ms(void* start, void* end) {
  float ms = 0;
  MLU_CHECK(cnrtNotifierElapsedTime, start, end, &ms);
  return ms;
}

double elapsed_hardware_us(void* start, void* end) {
  float us = 0;
  MLU_CHECK(cnrtNotifierDuration, start, end, &us);
  return us;
}

}  // namespace torch_mlu
