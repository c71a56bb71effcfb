// HcclCommConfig as callers of different CANN versions pass it, checked.
#pragma once

#include <string>

#include "abi.hpp"
#include "communicator.hpp"

namespace accel_hccl {

struct Configuration {
  std::string name;  // empty: not set
  Times times;
};

/// The environment's times, and what `config` (nullptr: nothing) says otherwise. Throws HCCL_E_PARA
/// for a structure that HcclCommConfigInit did not fill, a text that is not ended within its length
/// and a number outside its range.
Configuration read_configuration(const HcclCommConfig* config);

/// The number of members of HcclCommConfig that the posed CANN version understands.
std::uint32_t configuration_capability();

}  // namespace accel_hccl
