// Which stream handles are alive. A stream's memory is never given back, so that no later stream
// can have the handle of a destroyed one.
#pragma once

#include <memory>

#include "accel_sim/streams.hpp"

namespace accel_sim {

int next_stream_id();
void remember_stream(const std::shared_ptr<Stream>& stream);
bool forget_stream(const void* handle);

}  // namespace accel_sim
