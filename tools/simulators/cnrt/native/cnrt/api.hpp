// What every file of exported functions starts with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "accel_sim/call.hpp"
#include "accel_sim/devices.hpp"
#include "accel_sim/failure.hpp"
#include "accel_sim_cnrt/cnrt.h"
#include "pose.hpp"

namespace cnrt {

using accel_sim::Failure;
using accel_sim::guarded;
using accel_sim::Kind;
using accel_sim::required;

// Throws not_supported unless the library poses as 6.14.
void require_614(const char* name);

// CNRT's functions must not be called from a host function: throws, with --strict.
void require_outside_host_function(const char* name);

}  // namespace cnrt
