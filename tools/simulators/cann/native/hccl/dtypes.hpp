// HCCL's numbers of data types and reductions, and which operation takes which on which chip.
#pragma once

#include "abi.hpp"
#include "accel_sim/ranks/dtypes.hpp"

namespace accel_hccl {

/// Throw argument for a number that HCCL does not have.
accel_ranks::DataType type_of(HcclDataType type);
accel_ranks::Reduction reduction_of(HcclReduceOp op);

/// Strict mode's limits of an operation on the posed chip.
void check_supported(accel_ranks::Operation operation, accel_ranks::DataType type,
                     const accel_ranks::Reduction* reduction);

}  // namespace accel_hccl
