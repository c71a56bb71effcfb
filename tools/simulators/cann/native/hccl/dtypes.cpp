#include "dtypes.hpp"

#include <cstdio>
#include <string>

#include "failure.hpp"

namespace accel_hccl {
namespace {

struct TypeRow {
  HcclDataType type;
  std::size_t bytes;
  const char* name;
};

constexpr TypeRow kTypes[] = {
    {HCCL_DATA_TYPE_INT8, 1, "int8"},         {HCCL_DATA_TYPE_INT16, 2, "int16"},
    {HCCL_DATA_TYPE_INT32, 4, "int32"},       {HCCL_DATA_TYPE_FP16, 2, "float16"},
    {HCCL_DATA_TYPE_FP32, 4, "float32"},      {HCCL_DATA_TYPE_INT64, 8, "int64"},
    {HCCL_DATA_TYPE_UINT64, 8, "uint64"},     {HCCL_DATA_TYPE_UINT8, 1, "uint8"},
    {HCCL_DATA_TYPE_UINT16, 2, "uint16"},     {HCCL_DATA_TYPE_UINT32, 4, "uint32"},
    {HCCL_DATA_TYPE_FP64, 8, "float64"},      {HCCL_DATA_TYPE_BFP16, 2, "bfloat16"},
    {HCCL_DATA_TYPE_INT128, 16, "int128"},    {HCCL_DATA_TYPE_HIF8, 1, "hifloat8"},
    {HCCL_DATA_TYPE_FP8E4M3, 1, "float8_e4m3"}, {HCCL_DATA_TYPE_FP8E5M2, 1, "float8_e5m2"},
    {HCCL_DATA_TYPE_FP8E8M0, 1, "float8_e8m0"},
};

const TypeRow* find_type(HcclDataType type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

constexpr std::uint32_t bit(HcclDataType type) { return 1u << static_cast<unsigned>(type); }

// The tables of the pages HcclAllReduce, HcclReduce, ... in docs/zh/api_ref/comm_op_interface of
// the public repository hicann/hccl (CANN 9; the pages of 8.0 to 8.5 on hiascend.com say the same
// for these chips). "Atlas A2" is the 910B, "Atlas 300I Duo" the 310P.
constexpr std::uint32_t kSummed910b =
    bit(HCCL_DATA_TYPE_INT8) | bit(HCCL_DATA_TYPE_INT16) | bit(HCCL_DATA_TYPE_INT32) |
    bit(HCCL_DATA_TYPE_INT64) | bit(HCCL_DATA_TYPE_FP16) | bit(HCCL_DATA_TYPE_FP32) |
    bit(HCCL_DATA_TYPE_BFP16);
constexpr std::uint32_t kSummedV910b = kSummed910b & ~bit(HCCL_DATA_TYPE_INT64);
constexpr std::uint32_t kNoProduct910b = bit(HCCL_DATA_TYPE_INT16) | bit(HCCL_DATA_TYPE_BFP16);
constexpr std::uint32_t kMoved910b =
    kSummed910b | bit(HCCL_DATA_TYPE_UINT8) | bit(HCCL_DATA_TYPE_UINT16) |
    bit(HCCL_DATA_TYPE_UINT32) | bit(HCCL_DATA_TYPE_UINT64) | bit(HCCL_DATA_TYPE_FP64);
constexpr std::uint32_t kSummed310p = bit(HCCL_DATA_TYPE_INT8) | bit(HCCL_DATA_TYPE_INT16) |
                                      bit(HCCL_DATA_TYPE_INT32) | bit(HCCL_DATA_TYPE_FP16) |
                                      bit(HCCL_DATA_TYPE_FP32);
constexpr std::uint32_t kSummedV310p =
    bit(HCCL_DATA_TYPE_INT16) | bit(HCCL_DATA_TYPE_FP16) | bit(HCCL_DATA_TYPE_FP32);
constexpr std::uint32_t kMoved310p = kMoved910b & ~bit(HCCL_DATA_TYPE_BFP16);

struct Limits {
  std::uint32_t types;         // allowed at all; 0: the chip lacks the operation
  std::uint32_t no_product;    // not with prod
  std::uint32_t no_max_min;    // not with max and min
};

constexpr std::uint32_t kAll = 0xffffffff;

Limits limits_of(Operation operation, bool is_310p) {
  switch (operation) {
    case Operation::kAllReduce:
    case Operation::kReduceScatter:
      if (is_310p) return {kSummed310p, bit(HCCL_DATA_TYPE_INT16), bit(HCCL_DATA_TYPE_INT16)};
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

std::string names_of(std::uint32_t types) {
  std::string text;
  for (const TypeRow& row : kTypes) {
    if ((types & bit(row.type)) == 0) continue;
    text += text.empty() ? "" : ", ";
    text += row.name;
  }
  return text;
}

}  // namespace

const char* operation_name(Operation operation) {
  switch (operation) {
    case Operation::kAllReduce: return "HcclAllReduce";
    case Operation::kBroadcast: return "HcclBroadcast";
    case Operation::kReduce: return "HcclReduce";
    case Operation::kAllGather: return "HcclAllGather";
    case Operation::kAllGatherV: return "HcclAllGatherV";
    case Operation::kReduceScatter: return "HcclReduceScatter";
    case Operation::kReduceScatterV: return "HcclReduceScatterV";
    case Operation::kScatter: return "HcclScatter";
    case Operation::kAlltoAll: return "HcclAlltoAll";
    case Operation::kAlltoAllV: return "HcclAlltoAllV";
    case Operation::kAlltoAllVC: return "HcclAlltoAllVC";
    case Operation::kBarrier: return "HcclBarrier";
    case Operation::kSend: return "HcclSend";
    case Operation::kRecv: return "HcclRecv";
    case Operation::kBatchSendRecv: return "HcclBatchSendRecv";
  }
  return "an unknown operation";
}

std::size_t element_size(HcclDataType type) {
  const TypeRow* row = find_type(type);
  if (row == nullptr) {
    throw HcclFailure(HCCL_E_PARA, "dataType " + std::to_string(static_cast<int>(type)) +
                                       " is no HCCL data type");
  }
  return row->bytes;
}

const char* type_name(HcclDataType type) {
  const TypeRow* row = find_type(type);
  return row == nullptr ? "an unknown data type" : row->name;
}

const char* reduction_name(HcclReduceOp op) {
  switch (op) {
    case HCCL_REDUCE_SUM: return "sum";
    case HCCL_REDUCE_PROD: return "prod";
    case HCCL_REDUCE_MAX: return "max";
    case HCCL_REDUCE_MIN: return "min";
  }
  throw HcclFailure(HCCL_E_PARA,
                    "op " + std::to_string(static_cast<int>(op)) + " is no HCCL reduction");
}

void check_supported(Operation operation, HcclDataType type, const HcclReduceOp* reduction,
                     bool is_310p) {
  const Limits limits = limits_of(operation, is_310p);
  const std::string where = std::string(operation_name(operation)) + " on " +
                            (is_310p ? "310P (Atlas 300I Duo)" : "910B (Atlas A2)");
  if (limits.types == 0) {
    throw HcclFailure(HCCL_E_NOT_SUPPORT, where + " is not supported by HCCL (strict mode)");
  }
  std::uint32_t types = limits.types;
  std::string with;
  if (reduction != nullptr) {
    if (*reduction == HCCL_REDUCE_PROD) types &= ~limits.no_product;
    if (*reduction == HCCL_REDUCE_MAX || *reduction == HCCL_REDUCE_MIN) types &= ~limits.no_max_min;
    with = std::string(" with ") + reduction_name(*reduction);
  }
  if ((types & bit(type)) != 0) return;
  const std::string allowed = types == 0 ? "nothing" : names_of(types);
  throw HcclFailure(HCCL_E_NOT_SUPPORT, where + with + " does not take " + type_name(type) +
                                            ": HCCL supports " + allowed + " there (strict mode)");
}

void check_aligned(Operation operation, const char* name, const void* address, HcclDataType type) {
  const std::size_t bytes = element_size(type);
  if (reinterpret_cast<std::uintptr_t>(address) % bytes == 0) return;
  char text[32];
  std::snprintf(text, sizeof text, "%p", address);
  throw HcclFailure(HCCL_E_PARA, std::string(operation_name(operation)) + ": " + name + " " + text +
                                     " is not aligned to the " + std::to_string(bytes) +
                                     " bytes of " + type_name(type) + " (strict mode)");
}

}  // namespace accel_hccl
