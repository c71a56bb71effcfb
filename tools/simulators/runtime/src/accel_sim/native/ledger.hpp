// Which ranges of memory are alive: every range that the simulator handed out or was told of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "accel_sim/memory.hpp"

namespace accel_sim {

struct Range {
  char* base = nullptr;
  std::size_t bytes = 0;
  Place place = Place::device;
  int device = -1;
  char* host = nullptr;        // where the bytes of a device view of host memory are
  char* view = nullptr;        // the device view of a registered range, when it has one
  std::string origin;          // for messages: "aclrtMalloc", "an import"
};

// Throws host_registration when it overlaps a live range.
void enter_range(const Range& range);
// The range that begins there; remembered as freed when it was device memory.
std::optional<Range> leave_range(const void* base);
std::optional<Range> range_at(const void* pointer);  // the live range that contains the pointer
std::vector<Range> device_ranges(int device);         // the live ones
std::string describe(const void* pointer, std::size_t bytes);

}  // namespace accel_sim
