// Sends and receives: each is a meeting of two ranks, and a call may make several at once.
#pragma once

#include <cstdint>
#include <vector>

#include "communicator.hpp"

namespace accel_hccl {

/// One message of a call, as its caller described it.
struct Message {
  bool sends;
  void* buffer;
  std::uint64_t count;
  HcclDataType type;
  std::uint32_t peer;
};

/// Checks what one rank alone can check; throws HcclFailure. Then puts the call on the stream, where
/// it ends when every message of it has been taken by, or has come from, its peer. The messages of
/// one call do not wait for each other. `operation` names the call: HcclSend, HcclRecv or
/// HcclBatchSendRecv.
void launch_messages(const CommunicatorPointer& communicator, Operation operation,
                     std::vector<Message> messages, void* stream);

}  // namespace accel_hccl
