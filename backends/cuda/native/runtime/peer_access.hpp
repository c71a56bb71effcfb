// Direct copies between two devices.
#pragma once

#include "../driver/device.hpp"

namespace accel_cuda {

// Lets the devices reach each other's memory where the hardware can, once for a pair: copies
// between them then do not go through the host. Without it they work all the same.
void connect_peers(const Device& a, const Device& b);

}  // namespace accel_cuda
