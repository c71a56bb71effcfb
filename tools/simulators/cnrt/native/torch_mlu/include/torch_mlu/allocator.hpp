// torch's allocators of device memory and of pinned memory.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Stream.h>

namespace torch_mlu __attribute__((visibility("default"))) {

c10::DeviceAllocator& device_allocator();
c10::Allocator& pinned_allocator();

// The block is in use on the stream too: freed, it is not handed out again before what the stream
// has by then is done. Memory that is not the allocator's is left alone.
void record_stream(const c10::DataPtr& data, const c10::Stream& stream);
void record_pinned(const void* data, const c10::Stream& stream);  // a place inside a pinned block

void empty_pinned_cache();

}  // namespace torch_mlu
