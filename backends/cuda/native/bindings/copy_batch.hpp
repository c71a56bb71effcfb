// Many copies as one piece of work: small ones by one kernel, large ones by the copy engines.
#pragma once

#include <accel/copy_checks.hpp>

#include <vector>

#include "copy_issue.hpp"

namespace accel_cuda {

struct PlacedPair {
  const accel::CopyPair<accel::StridedPlan>* pair;
  Place dst, src;
};

// Gives all pairs to the stream. Needs the GIL.
void issue_batch(Runtime& runtime, StreamHandle stream, const std::vector<PlacedPair>& pairs);

}  // namespace accel_cuda
