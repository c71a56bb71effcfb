// The names that this module has for what core shares.
#pragma once

#include "error.hpp"

namespace accel_ascend {

using AclFault = accel::RuntimeFault;
using AclMissing = accel::RuntimeMissing;
using Current = accel::OnDevice;

}  // namespace accel_ascend
