// Device memory behind a guard, page-locked host memory, and what a pointer is.
//
// Addresses handed out for device memory cannot be read or written by the host (PROT_NONE). The bytes
// live in one memfd per device, mapped readable at a constant distance from the guarded address.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accel_sim/devices.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

void* allocate_device(Device& device, std::size_t bytes);  // throws out_of_memory
void free_device(void* pointer);                           // throws invalid_argument

// The readable alias of device memory; a host pointer comes back unchanged. All of [pointer, +bytes)
// must lie in one live allocation: else throws out_of_bounds or use_after_free. A page-locked host
// pointer is checked the same way; pageable memory is taken as it is. bytes 0: nothing is checked.
void* host_of(const void* pointer, std::size_t bytes);
template <typename T>
T* host_array(const T* pointer, std::size_t count) {
  return static_cast<T*>(host_of(pointer, count * sizeof(T)));
}

enum class Place { device, pinned, registered, pageable };

struct Where {
  Place place = Place::pageable;
  int device = -1;                // of device memory; -1 otherwise
  const void* base = nullptr;     // the allocation or the registered range; nullptr when pageable
  std::size_t bytes = 0;
  bool on_device() const { return place == Place::device; }
  bool page_locked() const { return place == Place::pinned || place == Place::registered; }
};
Where where_is(const void* pointer);
// True for an address that could only be device memory (live, freed or never given out).
bool is_device_address(const void* pointer);

void* allocate_pinned(std::size_t bytes);
void free_pinned(void* pointer);
// Page-locks a range that exists. Ranges of one process do not overlap. When `mapped`, a device
// address that reaches the same bytes can be asked for.
void register_host(void* pointer, std::size_t bytes, bool mapped);
void unregister_host(void* pointer);
void* device_pointer_of_host(void* pointer);

struct MemoryUse {
  std::size_t total = 0;
  std::size_t used = 0;
  std::size_t peak = 0;
};
MemoryUse memory_use(const Device& device);
void free_all(Device& device);  // as a reset of the device does

}  // namespace accel_sim
