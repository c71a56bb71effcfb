// Groups: calls made between a start and an end are put on their streams together.
#pragma once

#include <functional>
#include <vector>

#include "accel_sim/ranks/messages.hpp"

namespace accel_ranks __attribute__((visibility("default"))) {

/// True between the outermost start and end on this thread.
bool in_group();
void start_group();
/// Submits what the group held: messages of one communicator and stream become one call, whose parts
/// do not wait for each other; everything else keeps its order. Throws the first failure, after
/// trying all; argument without a start.
void end_group();

void hold(std::function<void()> launch);
void hold(const CommunicatorPointer& communicator, const Message& message, void* stream);

}  // namespace accel_ranks
