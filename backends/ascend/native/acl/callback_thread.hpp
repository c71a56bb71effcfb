// Host callbacks of CANN before 8.5, where a stream's callbacks run on a thread of the program that
// asks for them: one for each stream that has any, so that no callback waits for another stream's.
#pragma once

#include "types.hpp"

namespace accel_ascend {

// Whether this CANN has aclrtLaunchCallback and what serves it.
bool can_serve_callbacks() noexcept;

// Calls function(argument) once the stream, of the current device, gets there; its later work waits.
// Throws RuntimeFault, also where somebody else serves the stream's callbacks already.
void launch_served(StreamHandle stream, HostFunction function, void* argument);

// Ends the threads: when the program ends.
void stop_serving();

}  // namespace accel_ascend
