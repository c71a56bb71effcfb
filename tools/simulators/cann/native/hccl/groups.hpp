// HcclGroupStart and HcclGroupEnd: calls made between them are put on their streams together.
#pragma once

#include <functional>
#include <vector>

#include "messages.hpp"

namespace accel_hccl {

/// True between the outermost start and end on this thread.
bool in_group();
void start_group();
/// Submits what the group held: messages of one communicator and stream become one call, whose parts
/// do not wait for each other; everything else keeps its order. Throws the first failure, after
/// trying all; HCCL_E_PARA without a start.
void end_group();

void hold(std::function<void()> launch);
void hold(const CommunicatorPointer& communicator, const Message& message, void* stream);

}  // namespace accel_hccl
