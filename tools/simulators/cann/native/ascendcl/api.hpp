// What every file of exported functions starts with.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accel_sim/call.hpp"
#include "accel_sim/devices.hpp"
#include "accel_sim/failure.hpp"
#include "codes.hpp"
#include "pose.hpp"

#define ACL_EXPORT ACCEL_SIM_EXPORT

namespace ascendcl {

using accel_sim::Failure;
using accel_sim::guarded;
using accel_sim::Kind;
using accel_sim::required;

}  // namespace ascendcl
