// What collectives do on a stream: agree on the call, move data, reduce.
#pragma once

#include <cstdint>
#include <vector>

#include "accel_sim/ranks/communicator.hpp"

namespace accel_ranks __attribute__((visibility("default"))) {

/// A collective as its caller described it. Unused members stay as they are here.
struct CollectiveCall {
  Operation operation = Operation::kBarrier;
  DataType type = DataType::int8;
  DataType receive_type = DataType::int8;         // all-to-all only; else as `type`
  Reduction reduction = Reduction::sum;
  bool reduces = false;
  std::uint32_t root = 0;
  const void* send = nullptr;
  void* receive = nullptr;
  std::uint64_t count = 0;                        // of the buffer that all ranks pass alike
  std::vector<std::uint64_t> send_counts;         // pieces, one for each rank
  std::vector<const void*> send_at;
  std::vector<std::uint64_t> receive_counts;
  std::vector<void*> receive_at;
};

/// Checks what one rank alone can check; throws RankFailure. Then puts the call on the stream.
void launch(const CommunicatorPointer& communicator, CollectiveCall call, void* stream);

/// The counts that each rank contributes, so that mismatches show: see agreement.cpp.
void agree(Communicator& communicator, const CollectiveCall& call, std::uint64_t number,
           Deadline deadline);

/// Moves and reduces, after agree(). Buffers are device addresses.
void perform(Communicator& communicator, const CollectiveCall& call, std::uint64_t number,
             Deadline deadline);

}  // namespace accel_ranks
