#include "dtypes.hpp"

#include <string>

#include "accel_sim/modes.hpp"
#include "accel_sim/ranks/failure.hpp"

namespace accel_hccl {
namespace {

using accel_ranks::bit;
using accel_ranks::DataType;
using accel_ranks::Operation;
using accel_ranks::Problem;
using accel_ranks::RankFailure;
using accel_ranks::Reduction;

struct TypeRow {
  HcclDataType number;
  DataType type;
};

constexpr TypeRow kTypes[] = {
    {HCCL_DATA_TYPE_INT8, DataType::int8},
    {HCCL_DATA_TYPE_INT16, DataType::int16},
    {HCCL_DATA_TYPE_INT32, DataType::int32},
    {HCCL_DATA_TYPE_FP16, DataType::float16},
    {HCCL_DATA_TYPE_FP32, DataType::float32},
    {HCCL_DATA_TYPE_INT64, DataType::int64},
    {HCCL_DATA_TYPE_UINT64, DataType::uint64},
    {HCCL_DATA_TYPE_UINT8, DataType::uint8},
    {HCCL_DATA_TYPE_UINT16, DataType::uint16},
    {HCCL_DATA_TYPE_UINT32, DataType::uint32},
    {HCCL_DATA_TYPE_FP64, DataType::float64},
    {HCCL_DATA_TYPE_BFP16, DataType::bfloat16},
    {HCCL_DATA_TYPE_INT128, DataType::int128},
    {HCCL_DATA_TYPE_HIF8, DataType::hifloat8},
    {HCCL_DATA_TYPE_FP8E4M3, DataType::float8_e4m3},
    {HCCL_DATA_TYPE_FP8E5M2, DataType::float8_e5m2},
    {HCCL_DATA_TYPE_FP8E8M0, DataType::float8_e8m0},
};

// The tables of the pages HcclAllReduce, HcclReduce, ... in docs/zh/api_ref/comm_op_interface of
// the public repository hicann/hccl (CANN 9; the pages of 8.0 to 8.5 on hiascend.com say the same
// for these chips). "Atlas A2" is the 910B, "Atlas 300I Duo" the 310P.
constexpr std::uint32_t kSummed910b = bit(DataType::int8) | bit(DataType::int16) |
                                      bit(DataType::int32) | bit(DataType::int64) |
                                      bit(DataType::float16) | bit(DataType::float32) |
                                      bit(DataType::bfloat16);
constexpr std::uint32_t kSummedV910b = kSummed910b & ~bit(DataType::int64);
constexpr std::uint32_t kNoProduct910b = bit(DataType::int16) | bit(DataType::bfloat16);
constexpr std::uint32_t kMoved910b = kSummed910b | bit(DataType::uint8) | bit(DataType::uint16) |
                                     bit(DataType::uint32) | bit(DataType::uint64) |
                                     bit(DataType::float64);
constexpr std::uint32_t kSummed310p = bit(DataType::int8) | bit(DataType::int16) |
                                      bit(DataType::int32) | bit(DataType::float16) |
                                      bit(DataType::float32);
constexpr std::uint32_t kSummedV310p =
    bit(DataType::int16) | bit(DataType::float16) | bit(DataType::float32);
constexpr std::uint32_t kMoved310p = kMoved910b & ~bit(DataType::bfloat16);

struct Limits {
  std::uint32_t types;       // allowed at all; 0: the chip lacks the operation
  std::uint32_t no_product;  // not with prod
  std::uint32_t no_max_min;  // not with max and min
};

constexpr std::uint32_t kAll = 0xffffffff;

Limits limits_of(Operation operation, bool is_310p) {
  switch (operation) {
    case Operation::kAllReduce:
    case Operation::kReduceScatter:
      if (is_310p) return {kSummed310p, bit(DataType::int16), bit(DataType::int16)};
      return {kSummed910b, kNoProduct910b, 0};
    case Operation::kReduce:
      if (is_310p) return {0, 0, 0};
      return {kSummed910b, kNoProduct910b, 0};
    case Operation::kReduceScatterV:
      if (is_310p) return {kSummedV310p, kAll, kAll};
      return {kSummedV910b, kAll, 0};
    case Operation::kBroadcast:
    case Operation::kScatter:
    case Operation::kAlltoAllVC:
    case Operation::kSend:
    case Operation::kRecv:
    case Operation::kBatchSendRecv:
      return {is_310p ? 0 : kMoved910b, 0, 0};
    case Operation::kBarrier:
      return {kAll, 0, 0};
    default:
      return {is_310p ? kMoved310p : kMoved910b, 0, 0};
  }
}

}  // namespace

DataType type_of(HcclDataType type) {
  for (const TypeRow& row : kTypes) {
    if (row.number == type) return row.type;
  }
  throw RankFailure(Problem::argument, "dataType " + std::to_string(static_cast<int>(type)) +
                                           " is no HCCL data type");
}

Reduction reduction_of(HcclReduceOp op) {
  switch (op) {
    case HCCL_REDUCE_SUM: return Reduction::sum;
    case HCCL_REDUCE_PROD: return Reduction::prod;
    case HCCL_REDUCE_MAX: return Reduction::max;
    case HCCL_REDUCE_MIN: return Reduction::min;
  }
  throw RankFailure(Problem::argument,
                    "op " + std::to_string(static_cast<int>(op)) + " is no HCCL reduction");
}

void check_supported(Operation operation, DataType type, const Reduction* reduction) {
  const bool is_310p = accel_sim::choice("ACCEL_SIM_SOC", {"910B", "310P"}) == "310P";
  const Limits limits = limits_of(operation, is_310p);
  const std::string where = std::string(accel_ranks::operation_name(operation)) + " on " +
                            (is_310p ? "310P (Atlas 300I Duo)" : "910B (Atlas A2)");
  if (limits.types == 0) {
    throw RankFailure(Problem::not_supported, where + " is not supported by HCCL (strict mode)");
  }
  std::uint32_t types = limits.types;
  std::string with;
  if (reduction != nullptr) {
    if (*reduction == Reduction::prod) types &= ~limits.no_product;
    if (*reduction == Reduction::max || *reduction == Reduction::min) types &= ~limits.no_max_min;
    with = std::string(" with ") + accel_ranks::reduction_name(*reduction);
  }
  if ((types & bit(type)) != 0) return;
  throw RankFailure(Problem::not_supported,
                    where + with + " does not take " + accel_ranks::type_name(type) +
                        ": HCCL supports " + accel_ranks::names_of(types) +
                        " there (strict mode)");
}

}  // namespace accel_hccl
