#include "accel_sim/ranks/groups.hpp"

#include <exception>
#include <utility>

#include "accel_sim/ranks/vendor.hpp"

namespace accel_ranks {
namespace {

struct Held {
  std::function<void()> launch;        // a collective; else messages:
  CommunicatorPointer communicator;
  void* stream = nullptr;
  std::vector<Message> messages;
};

struct Group {
  int depth = 0;
  std::vector<Held> held;
};

thread_local Group group;

void submit(const Held& held) {
  if (held.launch) return held.launch();
  const Operation operation = held.messages.size() > 1 ? Operation::kBatchSendRecv
                              : held.messages[0].sends ? Operation::kSend
                                                       : Operation::kRecv;
  launch_messages(held.communicator, operation, held.messages, held.stream);
}

}  // namespace

bool in_group() { return group.depth > 0; }

void start_group() { ++group.depth; }

void end_group() {
  if (group.depth == 0) {
    throw RankFailure(Problem::argument, std::string(vendor().words.group_end) + " without " +
                                             vendor().words.group_start);
  }
  if (--group.depth > 0) return;
  const std::vector<Held> all = std::exchange(group.held, {});
  std::exception_ptr first;
  for (const Held& held : all) {
    try {
      submit(held);
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

void hold(std::function<void()> launch) {
  Held held;
  held.launch = std::move(launch);
  group.held.push_back(std::move(held));
}

void hold(const CommunicatorPointer& communicator, const Message& message, void* stream) {
  for (Held& held : group.held) {
    if (!held.launch && held.communicator == communicator && held.stream == stream) {
      held.messages.push_back(message);
      return;
    }
  }
  group.held.push_back({nullptr, communicator, stream, {message}});
}

}  // namespace accel_ranks
