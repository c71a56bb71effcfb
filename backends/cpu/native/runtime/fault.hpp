// The runtime's errors are those that all native parts of accel throw.
#pragma once

#include <accel/fault.hpp>

namespace accel_cpu {

using accel::ArgumentFault;
using accel::Fault;
using accel::WorkFailed;

}  // namespace accel_cpu
