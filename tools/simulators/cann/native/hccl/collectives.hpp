// What collectives do on a stream: agree on the call, move data, reduce.
#pragma once

#include <cstdint>
#include <vector>

#include "communicator.hpp"

namespace accel_hccl {

/// A collective as its caller described it. Unused members stay as they are here.
struct CollectiveCall {
  Operation operation = Operation::kBarrier;
  HcclDataType type = HCCL_DATA_TYPE_INT8;
  HcclDataType receive_type = HCCL_DATA_TYPE_INT8;  // all-to-all only; else as `type`
  HcclReduceOp reduction = HCCL_REDUCE_SUM;
  bool reduces = false;
  std::uint32_t root = 0;
  const void* send = nullptr;
  void* receive = nullptr;
  std::uint64_t count = 0;                        // of the buffer that all ranks pass alike
  std::vector<std::uint64_t> send_counts;         // the V operations, one for each rank
  std::vector<std::uint64_t> send_offsets;        // in elements
  std::vector<std::uint64_t> receive_counts;
  std::vector<std::uint64_t> receive_offsets;
};

/// Checks what one rank alone can check; throws HcclFailure. Then puts the call on the stream.
void launch(const CommunicatorPointer& communicator, CollectiveCall call, void* stream);

/// The counts that each rank contributes, so that mismatches show: see agreement.cpp.
void agree(Communicator& communicator, const CollectiveCall& call, std::uint64_t number,
           Deadline deadline);

/// Moves and reduces, after agree(). Buffers are device addresses.
void perform(Communicator& communicator, const CollectiveCall& call, std::uint64_t number,
             Deadline deadline);

}  // namespace accel_hccl
