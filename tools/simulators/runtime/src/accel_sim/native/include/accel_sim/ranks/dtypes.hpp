// Data types, reductions and operations between ranks, by no vendor's numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace accel_ranks __attribute__((visibility("default"))) {

/// The ranks compare these numbers over the wire.
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

enum class DataType : std::int32_t {
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  bfloat16,
  float32,
  float64,
  int128,
  hifloat8,
  float8_e4m3,
  float8_e5m2,
  float8_e8m0,
};

enum class Reduction : std::int32_t { sum, prod, max, min };

/// The exported function's name, as the vendor spells it.
const char* operation_name(Operation operation);
/// Bytes of one element.
std::size_t element_size(DataType type);
/// "float16", ... as PyTorch spells it.
const char* type_name(DataType type);
const char* reduction_name(Reduction reduction);

/// Sets of types, for the tables of what an operation takes.
constexpr std::uint32_t bit(DataType type) { return 1u << static_cast<unsigned>(type); }
std::string names_of(std::uint32_t types);

}  // namespace accel_ranks
