// Sends and receives: each is a meeting of two ranks, and a call may make several at once.
#pragma once

#include <cstdint>
#include <vector>

#include "accel_sim/ranks/communicator.hpp"

namespace accel_ranks __attribute__((visibility("default"))) {

/// One message of a call, as its caller described it.
struct Message {
  bool sends;
  void* buffer;
  std::uint64_t count;
  DataType type;
  std::uint32_t peer;
};

/// Checks what one rank alone can check; throws RankFailure. Then puts the call on the stream, where
/// it ends when every message of it has been taken by, or has come from, its peer. The messages of
/// one call do not wait for each other. `operation` names the call: a send, a receive, or
/// several.
void launch_messages(const CommunicatorPointer& communicator, Operation operation,
                     std::vector<Message> messages, void* stream);

}  // namespace accel_ranks
