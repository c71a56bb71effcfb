// Data types of HCCL: sizes, names, and which operation takes which on which chip.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi.hpp"

namespace accel_hccl {

enum class Operation : std::uint32_t {
  kAllReduce,
  kBroadcast,
  kReduce,
  kAllGather,
  kAllGatherV,
  kReduceScatter,
  kReduceScatterV,
  kScatter,
  kAlltoAll,
  kAlltoAllV,
  kAlltoAllVC,
  kBarrier,
  kSend,
  kRecv,
  kBatchSendRecv,
};

/// The exported function's name: "HcclAllReduce", ...
const char* operation_name(Operation operation);

/// Bytes of one element; throws HCCL_E_PARA for a value that is no data type.
std::size_t element_size(HcclDataType type);

/// "float16", ... as PyTorch spells it; "data type 99" for an unknown value.
const char* type_name(HcclDataType type);

/// "sum", "prod", "max", "min"; throws HCCL_E_PARA for another value.
const char* reduction_name(HcclReduceOp op);

/// Strict mode's limits for one operation on one chip ("910B" or "310P"): throws
/// HCCL_E_NOT_SUPPORT naming the operation, the type and what is allowed.
void check_supported(Operation operation, HcclDataType type, const HcclReduceOp* reduction,
                     bool is_310p);

/// Strict mode: an address must be a multiple of the element size (HCCL_E_PARA).
void check_aligned(Operation operation, const char* name, const void* address, HcclDataType type);

}  // namespace accel_hccl
