// Notifiers as torch's events.
#pragma once

#include <c10/core/Stream.h>

namespace torch_mlu __attribute__((visibility("default"))) {

void* create_event(c10::DeviceIndex device, bool timing);
void destroy_event(void* event) noexcept;
void record_event(void* event, const c10::Stream& stream);
void wait_event(void* event, const c10::Stream& stream);  // the stream waits
void synchronize_event(void* event);                      // the host waits
bool query_event(void* event);
double elapsed_ms(void* start, void* end);
double elapsed_hardware_us(void* start, void* end);

}  // namespace torch_mlu
