// What all exported functions of CNCL begin with.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "accel_sim_cncl/cncl.h"
#include "accel_sim/ranks/call.hpp"
#include "accel_sim/ranks/communicator.hpp"

#define CNCL_EXPORT extern "C" __attribute__((visibility("default")))

namespace accel_cncl {

using accel_ranks::Problem;
using accel_ranks::RankFailure;

/// CNCL's code of a problem, and what a code means.
cnclResult_t code_of(Problem problem);
const char* result_name(cnclResult_t code);

/// Keeps why a call of this thread failed: CNCL's codes alone do not say much.
void remember(cnclResult_t code, const std::string& text);
/// What a code means, with the reason when this thread's last failure has that code. Valid until
/// the thread asks again.
const char* explain(cnclResult_t code);

/// The communicator of a handle. Throws unavailable for one that is null, unknown or destroyed.
accel_ranks::CommunicatorPointer communicator(cnclComm_t comm);

/// A rank as the ABI passes it. Throws argument when it is negative.
std::uint32_t rank_of(const char* name, int rank);

cnclResult_t finish(int code);  // keeps the core's text of a failure

template <typename Body>
cnclResult_t guarded(const char* name, Body&& body) {
  return finish(accel_ranks::guarded(name, std::forward<Body>(body)));
}

}  // namespace accel_cncl
