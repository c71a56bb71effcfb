// What happens at a fork is the same for all native parts of accel.
#pragma once

#include <accel/fork.hpp>

namespace accel_cpu {

using accel::around_fork;
using accel::at_fork_child;
using accel::fork_generation;

}  // namespace accel_cpu
