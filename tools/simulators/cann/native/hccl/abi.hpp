// What HCCL's C ABI passes around: result codes, data types, reductions and structures.
//
// Values and layouts are those of the headers that the torch_npu wheel ships (hccl/hccl_types.h,
// configuration version 10); the declarations are our own.
#pragma once

#include <cstddef>
#include <cstdint>

using HcclComm = void*;
using aclrtStream = void*;

enum HcclResult : int {
  HCCL_SUCCESS = 0,
  HCCL_E_PARA = 1,
  HCCL_E_PTR = 2,
  HCCL_E_MEMORY = 3,
  HCCL_E_INTERNAL = 4,
  HCCL_E_NOT_SUPPORT = 5,
  HCCL_E_NOT_FOUND = 6,
  HCCL_E_UNAVAIL = 7,
  HCCL_E_SYSCALL = 8,
  HCCL_E_TIMEOUT = 9,
  HCCL_E_OPEN_FILE_FAILURE = 10,
  HCCL_E_TCP_CONNECT = 11,
  HCCL_E_TCP_TRANSFER = 13,
  HCCL_E_RUNTIME = 15,
  HCCL_E_REMOTE = 21,
  HCCL_E_SUSPENDING = 22,
  HCCL_E_OOM = 24,
};

enum HcclReduceOp : int {
  HCCL_REDUCE_SUM = 0,
  HCCL_REDUCE_PROD = 1,
  HCCL_REDUCE_MAX = 2,
  HCCL_REDUCE_MIN = 3,
};

enum HcclDataType : int {
  HCCL_DATA_TYPE_INT8 = 0,
  HCCL_DATA_TYPE_INT16 = 1,
  HCCL_DATA_TYPE_INT32 = 2,
  HCCL_DATA_TYPE_FP16 = 3,
  HCCL_DATA_TYPE_FP32 = 4,
  HCCL_DATA_TYPE_INT64 = 5,
  HCCL_DATA_TYPE_UINT64 = 6,
  HCCL_DATA_TYPE_UINT8 = 7,
  HCCL_DATA_TYPE_UINT16 = 8,
  HCCL_DATA_TYPE_UINT32 = 9,
  HCCL_DATA_TYPE_FP64 = 10,
  HCCL_DATA_TYPE_BFP16 = 11,
  HCCL_DATA_TYPE_INT128 = 12,
  HCCL_DATA_TYPE_HIF8 = 14,
  HCCL_DATA_TYPE_FP8E4M3 = 15,
  HCCL_DATA_TYPE_FP8E5M2 = 16,
  HCCL_DATA_TYPE_FP8E8M0 = 17,
};

enum HcclConfig : int { HCCL_DETERMINISTIC = 0, HCCL_ACCELERATOR = 1 };

union HcclConfigValue {
  std::int32_t value;
};

enum HcclSendRecvType : int { HCCL_SEND = 0, HCCL_RECV = 1 };

struct HcclSendRecvItem {
  HcclSendRecvType sendRecvType;
  void* buf;
  std::uint64_t count;
  HcclDataType dataType;
  std::uint32_t remoteRank;
};

struct HcclRootInfo {
  char internal[4108];
};

constexpr std::uint32_t kConfigMagic = 0xf0f0f0f0;
constexpr std::uint32_t kNotSet = 0xffffffff;
constexpr std::size_t kNameLength = 128;  // with the terminating zero

struct HcclCommConfig {
  std::uint64_t size;  // the first 24 bytes are reserved by the header and hold these four members
  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t reserved;
  std::uint32_t hcclBufferSize;  // MiB
  std::uint32_t hcclDeterministic;
  char hcclCommName[kNameLength];
  char hcclUdi[128];
  std::uint32_t hcclOpExpansionMode;
  std::uint32_t hcclRdmaTrafficClass;
  std::uint32_t hcclRdmaServiceLevel;
  std::uint32_t hcclWorldRankID;
  std::uint64_t hcclJobID;
  std::uint8_t aclGraphZeroCopyEnable;
  std::int32_t hcclExecTimeOut;  // seconds
  char hcclAlgo[1600];
  char hcclRetryEnable[50];
  char hcclRetryParams[128];
  char hcclBufferName[128];
  std::uint32_t hcclQos;
  std::uint64_t hcclSymWinMaxMemSizePerRank;
};
