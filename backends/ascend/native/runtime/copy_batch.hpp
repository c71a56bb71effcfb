// Many flat copies between devices and page-locked memory: one ACL call where CANN has it.
#pragma once

#include <cstdint>
#include <vector>

#include "copy_issue.hpp"

namespace accel_ascend {

struct FlatCopy {
  std::uintptr_t dst, src;
  std::size_t nbytes;
  Place dst_place, src_place;
};

// Gives all of them to the stream. Needs the GIL, and lets go of it.
void issue_batch(StreamState& state, std::vector<FlatCopy> copies);

}  // namespace accel_ascend
