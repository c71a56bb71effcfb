// A planned fault that the running call's work, not the call, has to show.
#pragma once

#include "accel_sim/failure.hpp"

namespace accel_sim {

Error take_planned_failure();  // once: the next submit of this thread takes it

}  // namespace accel_sim
