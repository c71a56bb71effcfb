#include "memory_place.hpp"

namespace accel_cuda {
namespace {

constexpr int kPointerRangeStart = 11;
constexpr int kPointerRangeSize = 12;

struct Allocation {
  unsigned type = 0;  // 0: the driver knows no such memory
  unsigned managed = 0;
  int device = -1;
  DevicePointer start = 0;
  std::size_t size = 0;  // 0 where the driver does not say

  bool known() const { return type != 0; }
  std::uintptr_t end() const { return static_cast<std::uintptr_t>(start) + size; }
};

// One call for all of it where the driver has one, which also takes a quarter of the time for
// memory that it does not know.
Allocation allocation_at(std::uintptr_t pointer) {
  Allocation found;
  const Driver& table = driver();
  const int attributes[] = {kPointerMemoryType, kPointerIsManaged, kPointerDeviceOrdinal,
                            kPointerRangeStart, kPointerRangeSize};
  void* values[] = {&found.type, &found.managed, &found.device, &found.start, &found.size};
  constexpr unsigned kCount = sizeof attributes / sizeof attributes[0];
  if (table.pointer_attributes == nullptr ||
      table.pointer_attributes(kCount, attributes, values, pointer) != kSuccess) {
    found = Allocation();
    if (table.pointer_attribute(&found.type, kPointerMemoryType, pointer) != kSuccess) {
      return Allocation();
    }
    for (unsigned i = 1; i < kCount; ++i) {
      table.pointer_attribute(values[i], attributes[i], pointer);
    }
  }
  if (found.type != kMemoryHost && found.type != kMemoryDevice && found.type != kMemoryUnified) {
    return Allocation();
  }
  return found;
}

}  // namespace

Place place_of_host(std::uintptr_t pointer, std::size_t nbytes) {
  Place place;
  const Allocation first = allocation_at(pointer);
  if (!first.known()) {
    place.kind = Place::Kind::Pageable;
  } else if (first.managed != 0) {
    place.kind = Place::Kind::Managed;
  } else if (first.type == kMemoryHost) {
    const std::uintptr_t last = pointer + nbytes;
    const bool covers = first.size != 0 ? last <= first.end()
                                        : allocation_at(last - 1).type == kMemoryHost;
    place.kind = covers ? Place::Kind::Pinned : Place::Kind::Mixed;
  } else {
    place.kind = Place::Kind::Device;
    place.device = first.device;
  }
  return place;
}

Place place_of_device(std::uintptr_t pointer, std::size_t nbytes) {
  Place place;
  const std::uintptr_t last = pointer + nbytes;
  for (std::uintptr_t at = pointer; at < last;) {
    const Allocation found = allocation_at(at);
    if (!found.known()) return Place();
    const Place::Kind kind = found.managed != 0          ? Place::Kind::Managed
                             : found.type == kMemoryHost ? Place::Kind::Pinned
                                                         : Place::Kind::Device;
    if (at == pointer) {
      place.kind = kind;
      place.device = found.device;
    } else if (kind != place.kind || found.device != place.device) {
      return Place();
    }
    if (found.end() <= at) {
      // The driver does not say how far it goes: the last byte has to do.
      const Allocation end = allocation_at(last - 1);
      return end.known() && end.device == found.device ? place : Place();
    }
    at = found.end();  // memory that was mapped in parts goes on there
  }
  return place;
}

}  // namespace accel_cuda
