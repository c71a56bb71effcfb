// CNCL's numbers of data types and reductions.
#pragma once

#include "accel_sim_cncl/cncl.h"
#include "accel_sim/ranks/dtypes.hpp"

namespace accel_cncl {

/// Throw not_supported for a number that CNCL does not have, naming those it has.
accel_ranks::DataType type_of(cnclDataType_t type);
accel_ranks::Reduction reduction_of(cnclReduceOp_t op);

}  // namespace accel_cncl
