// What all exported functions of HCCL begin with.
#pragma once

#include <utility>

#include "abi.hpp"
#include "accel_sim/ranks/call.hpp"
#include "accel_sim/ranks/failure.hpp"

#define HCCL_EXPORT extern "C" __attribute__((visibility("default")))

namespace accel_hccl {

using accel_ranks::Problem;
using accel_ranks::RankFailure;

/// HCCL's code of a problem, and what HcclGetErrorString says of a code.
HcclResult code_of(Problem problem);
const char* result_name(HcclResult code);

template <typename Body>
HcclResult guarded(const char* name, Body&& body) {
  return static_cast<HcclResult>(accel_ranks::guarded(name, std::forward<Body>(body)));
}

}  // namespace accel_hccl
