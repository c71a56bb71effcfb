// What a queue handle means.
#pragma once

#include "accel_sim/streams.hpp"
#include "accel_sim_cnrt/cnrt.h"

namespace cnrt {

// NULL and (6.14) the legacy handle: the current device's default queue. (6.14) The per-thread
// handle: one of the calling thread on the current device. Throws invalid_handle for anything else
// that is not alive.
accel_sim::Stream& queue_of(cnrtQueue_t queue);

}  // namespace cnrt
