#include "memory_place.hpp"

namespace accel_cuda {
namespace {

constexpr int kPointerRangeStart = 11;
constexpr int kPointerRangeSize = 12;

struct Allocation {
  bool known = false;
  unsigned type = 0;
  bool managed = false;
  int device = -1;
  std::uintptr_t end = 0;  // of the allocation or registration; 0 where the driver does not say
};

Allocation allocation_at(std::uintptr_t pointer, bool ask_more) {
  Allocation found;
  const Driver& table = driver();
  if (table.pointer_attribute(&found.type, kPointerMemoryType, pointer) != kSuccess) return found;
  found.known = found.type == kMemoryHost || found.type == kMemoryDevice ||
                found.type == kMemoryUnified;
  if (!found.known) return found;
  unsigned managed = 0;
  if (ask_more && table.pointer_attribute(&managed, kPointerIsManaged, pointer) == kSuccess) {
    found.managed = managed != 0;
  }
  if (found.type != kMemoryHost) {
    table.pointer_attribute(&found.device, kPointerDeviceOrdinal, pointer);
  }
  DevicePointer start = 0;
  std::size_t size = 0;
  if (table.pointer_attribute(&start, kPointerRangeStart, pointer) == kSuccess &&
      table.pointer_attribute(&size, kPointerRangeSize, pointer) == kSuccess) {
    found.end = static_cast<std::uintptr_t>(start) + size;
  }
  return found;
}

}  // namespace

Place place_of_host(std::uintptr_t pointer, std::size_t nbytes) {
  Place place;
  const std::uintptr_t last = pointer + nbytes;
  const Allocation first = allocation_at(pointer, true);
  if (!first.known) {
    place.kind = Place::Kind::Pageable;
    // A range that runs into page-locked memory would be refused by the driver in the middle.
    if (nbytes > 1 && allocation_at(last - 1, false).known) place.kind = Place::Kind::Mixed;
    return place;
  }
  if (first.managed) {
    place.kind = Place::Kind::Managed;
  } else if (first.type == kMemoryHost) {
    const bool covers =
        first.end != 0 ? last <= first.end : allocation_at(last - 1, false).type == kMemoryHost;
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
    const Allocation found = allocation_at(at, true);
    const Place::Kind kind = !found.known              ? Place::Kind::Unknown
                             : found.managed           ? Place::Kind::Managed
                             : found.type == kMemoryHost ? Place::Kind::Pinned
                                                         : Place::Kind::Device;
    if (kind == Place::Kind::Unknown) return Place();
    if (at == pointer) {
      place.kind = kind;
      place.device = found.device;
    } else if (kind != place.kind || found.device != place.device) {
      return Place();
    }
    if (found.end <= at) {
      // The driver does not say how far it goes: the last byte has to do.
      const Allocation end = allocation_at(last - 1, false);
      return end.known && end.device == found.device ? place : Place();
    }
    at = found.end;  // memory that was mapped in parts goes on there
  }
  return place;
}

}  // namespace accel_cuda
