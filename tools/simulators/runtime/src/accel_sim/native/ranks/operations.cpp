#include "accel_sim/ranks/operations.hpp"

#include <string>
#include <utility>

#include "accel_sim/modes.hpp"
#include "accel_sim/ranks/groups.hpp"
#include "accel_sim/ranks/vendor.hpp"

namespace accel_ranks {
namespace {

using Counts = std::vector<std::uint64_t>;

// Offsets of equal pieces, one behind the other.
Counts even_offsets(std::uint64_t count, std::uint32_t ranks) {
  Counts offsets(ranks);
  for (std::uint32_t i = 0; i < ranks; ++i) offsets[i] = i * count;
  return offsets;
}

void check_both(const void* send, const void* receive, bool empty) {
  if (empty) return;
  check_pointer(vendor().words.send, send);
  check_pointer(vendor().words.receive, receive);
}

}  // namespace

CollectiveCall describe(Operation operation, DataType type, const void* send, void* receive,
                        std::uint64_t count) {
  CollectiveCall call;
  call.operation = operation;
  call.type = call.receive_type = type;
  call.send = send;
  call.receive = receive;
  call.count = count;
  return call;
}

CollectiveCall describe_reduction(Operation operation, DataType type, Reduction reduction,
                                  const void* send, void* receive, std::uint64_t count) {
  CollectiveCall call = describe(operation, type, send, receive, count);
  call.reduces = true;
  call.reduction = reduction;
  return call;
}

std::vector<const void*> places(const void* base, const Counts& offsets, DataType type) {
  std::vector<const void*> all;
  for (const std::uint64_t offset : offsets) {
    all.push_back(static_cast<const char*>(base) + offset * element_size(type));
  }
  return all;
}

std::vector<void*> places(void* base, const Counts& offsets, DataType type) {
  std::vector<void*> all;
  for (const std::uint64_t offset : offsets) {
    all.push_back(static_cast<char*>(base) + offset * element_size(type));
  }
  return all;
}

void check_pointer(const char* name, const void* pointer) {
  if (pointer != nullptr) return;
  throw RankFailure(Problem::null_pointer, std::string(name) + " is a null pointer");
}

void check_distinct(const void* send, const void* receive) {
  if (!accel_sim::modes().strict || send != receive || send == nullptr) return;
  throw RankFailure(Problem::argument, std::string(vendor().words.send) + " and " +
                                           vendor().words.receive +
                                           " must not be the same (strict mode)");
}

void all_reduce(const void* send, void* receive, std::uint64_t count, DataType type,
                Reduction reduction, void* comm, void* stream) {
  check_both(send, receive, count == 0);
  submit(comm, describe_reduction(Operation::kAllReduce, type, reduction, send, receive, count),
         stream);
}

void reduce_to(const void* send, void* receive, std::uint64_t count, DataType type,
               Reduction reduction, std::uint32_t root, void* comm, void* stream) {
  if (count > 0) check_pointer(vendor().words.send, send);
  if (count > 0 && communicator_of(comm)->rank() == root) {
    check_pointer(vendor().words.receive, receive);
  }
  CollectiveCall call =
      describe_reduction(Operation::kReduce, type, reduction, send, receive, count);
  call.root = root;
  submit(comm, std::move(call), stream);
}

void broadcast(const void* send, void* receive, std::uint64_t count, DataType type,
               std::uint32_t root, void* comm, void* stream) {
  if (count > 0) check_pointer(vendor().words.buffer, receive);
  if (count > 0 && communicator_of(comm)->rank() == root) {
    check_pointer(vendor().words.send, send);
  }
  CollectiveCall call = describe(Operation::kBroadcast, type, send, receive, count);
  call.root = root;
  submit(comm, std::move(call), stream);
}

void scatter(const void* send, void* receive, std::uint64_t count, DataType type,
             std::uint32_t root, void* comm, void* stream) {
  if (count > 0) check_pointer(vendor().words.receive, receive);
  if (count > 0 && communicator_of(comm)->rank() == root) {
    check_pointer(vendor().words.send, send);
  }
  CollectiveCall call = describe(Operation::kScatter, type, send, receive, count);
  call.root = root;
  submit(comm, std::move(call), stream);
}

void all_gather(const void* send, void* receive, std::uint64_t count, DataType type, void* comm,
                void* stream) {
  check_both(send, receive, count == 0);
  const std::uint32_t ranks = communicator_of(comm)->size();
  CollectiveCall call = describe(Operation::kAllGather, type, send, receive, count);
  call.receive_counts.assign(ranks, count);
  call.receive_at = places(receive, even_offsets(count, ranks), type);
  submit(comm, std::move(call), stream);
}

void reduce_scatter(const void* send, void* receive, std::uint64_t count, DataType type,
                    Reduction reduction, void* comm, void* stream) {
  check_both(send, receive, count == 0);
  const std::uint32_t ranks = communicator_of(comm)->size();
  CollectiveCall call =
      describe_reduction(Operation::kReduceScatter, type, reduction, send, receive, count);
  call.send_counts.assign(ranks, count);
  call.send_at = places(send, even_offsets(count, ranks), type);
  submit(comm, std::move(call), stream);
}

void all_to_all(const void* send, std::uint64_t send_count, DataType send_type, void* receive,
                std::uint64_t receive_count, DataType receive_type, void* comm, void* stream) {
  check_both(send, receive, send_count == 0 && receive_count == 0);
  check_distinct(send, receive);
  const std::uint32_t ranks = communicator_of(comm)->size();
  CollectiveCall call = describe(Operation::kAlltoAll, send_type, send, receive, 0);
  call.receive_type = receive_type;
  call.send_counts.assign(ranks, send_count);
  call.send_at = places(send, even_offsets(send_count, ranks), send_type);
  call.receive_counts.assign(ranks, receive_count);
  call.receive_at = places(receive, even_offsets(receive_count, ranks), receive_type);
  submit(comm, std::move(call), stream);
}

void barrier(void* comm, void* stream) {
  submit(comm, describe(Operation::kBarrier, DataType::int8, nullptr, nullptr, 0), stream);
}

void submit(void* comm, CollectiveCall call, void* stream) {
  const CommunicatorPointer communicator = communicator_of(comm);
  if (in_group()) {
    hold([communicator, call = std::move(call), stream] { launch(communicator, call, stream); });
  } else {
    launch(communicator, std::move(call), stream);
  }
}

void submit(void* comm, const Message& message, void* stream) {
  const CommunicatorPointer communicator = communicator_of(comm);
  if (message.count > 0) {
    check_pointer(message.sends ? vendor().words.send : vendor().words.receive, message.buffer);
  }
  if (in_group()) {
    hold(communicator, message, stream);
    return;
  }
  if (message.peer == communicator->rank()) {
    throw RankFailure(Problem::argument,
                      "rank " + std::to_string(message.peer) + " is this rank itself");
  }
  launch_messages(communicator, message.sends ? Operation::kSend : Operation::kRecv, {message},
                  stream);
}

void submit(void* comm, std::vector<Message> messages, void* stream) {
  const CommunicatorPointer communicator = communicator_of(comm);
  if (in_group()) {
    for (const Message& message : messages) hold(communicator, message, stream);
    return;
  }
  launch_messages(communicator, Operation::kBatchSendRecv, std::move(messages), stream);
}

}  // namespace accel_ranks
