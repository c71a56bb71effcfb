// HcclCommConfig as callers of different CANN versions pass it, checked.
#pragma once

#include <string>

#include "abi.hpp"
#include "accel_sim/ranks/communicator.hpp"

namespace accel_hccl {

struct Configuration {
  std::string name;  // empty: not set
  accel_ranks::Times times;
};

/// HCCL_CONNECT_TIMEOUT, HCCL_EXEC_TIMEOUT (seconds) and the simulator's own HCCL_SIM_DEATH_MS and
/// HCCL_SIM_DESTROY_MS.
accel_ranks::Times times_from_environment();

/// The environment's times, and what `config` (nullptr: nothing) says otherwise. Throws argument
/// for a structure that HcclCommConfigInit did not fill, a text that is not ended within its length
/// and a number outside its range.
Configuration read_configuration(const HcclCommConfig* config);

/// The number of members of HcclCommConfig that the posed CANN version understands.
std::uint32_t configuration_capability();

}  // namespace accel_hccl
