// Collectives, messages and groups, as the ABI has them.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "accel_sim/modes.hpp"
#include "accel_sim/ranks/groups.hpp"
#include "accel_sim/ranks/operations.hpp"
#include "dtypes.hpp"
#include "exports.hpp"

namespace accel_cncl {
namespace {

using accel_ranks::check_pointer;
using accel_ranks::Message;

// CNCL takes a type for each rank; programs pass one for all.
cnclDataType_t only_type(const char* name, const cnclDataType_t* types, std::uint32_t ranks) {
  check_pointer(name, types);
  for (std::uint32_t i = 1; i < ranks; ++i) {
    if (types[i] == types[0]) continue;
    throw RankFailure(Problem::not_supported,
                      std::string(name) + "[" + std::to_string(i) + "] differs from " + name +
                          "[0]: the simulator takes one type for all ranks");
  }
  return types[0];
}

// Strict: an exchange reads what others' pieces have not replaced only when nothing is shared.
void check_apart(const accel_ranks::CollectiveCall& call) {
  if (!accel_sim::modes().strict) return;
  for (std::size_t i = 0; i < call.send_at.size(); ++i) {
    for (std::size_t j = 0; j < call.receive_at.size(); ++j) {
      if (call.send_counts[i] == 0 || call.receive_counts[j] == 0) continue;
      if (call.send_at[i] != call.receive_at[j]) continue;
      throw RankFailure(Problem::argument, "send_buffers[" + std::to_string(i) +
                                               "] and recv_buffers[" + std::to_string(j) +
                                               "] must not be the same (strict mode)");
    }
  }
}

}  // namespace
}  // namespace accel_cncl

using namespace accel_cncl;

CNCL_EXPORT cnclResult_t cnclAllReduce(const void* send_buffer, void* recv_buffer,
                                       std::size_t count, cnclDataType_t data_type,
                                       cnclReduceOp_t reduce_op, cnclComm_t comm,
                                       cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::all_reduce(send_buffer, recv_buffer, count, type_of(data_type),
                            reduction_of(reduce_op), comm, queue);
  });
}

CNCL_EXPORT cnclResult_t cnclReduce(const void* send_buffer, void* recv_buffer, std::size_t count,
                                    cnclDataType_t data_type, cnclReduceOp_t reduce_op, int root,
                                    cnclComm_t comm, cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::reduce_to(send_buffer, recv_buffer, count, type_of(data_type),
                           reduction_of(reduce_op), rank_of("root", root), comm, queue);
  });
}

CNCL_EXPORT cnclResult_t cnclBroadcast(const void* send_buffer, void* recv_buffer,
                                       std::size_t count, cnclDataType_t data_type, int root,
                                       cnclComm_t comm, cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::broadcast(send_buffer, recv_buffer, count, type_of(data_type),
                           rank_of("root", root), comm, queue);
  });
}

CNCL_EXPORT cnclResult_t cnclBcast(void* buffer, std::size_t count, cnclDataType_t data_type,
                                   int root, cnclComm_t comm, cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::broadcast(buffer, buffer, count, type_of(data_type), rank_of("root", root), comm,
                           queue);
  });
}

CNCL_EXPORT cnclResult_t cnclAllGather(const void* send_buffer, void* recv_buffer,
                                       std::size_t count, cnclDataType_t data_type,
                                       cnclComm_t comm, cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::all_gather(send_buffer, recv_buffer, count, type_of(data_type), comm, queue);
  });
}

CNCL_EXPORT cnclResult_t cnclReduceScatter(const void* send_buffer, void* recv_buffer,
                                           std::size_t count, cnclDataType_t data_type,
                                           cnclReduceOp_t reduce_op, cnclComm_t comm,
                                           cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::reduce_scatter(send_buffer, recv_buffer, count, type_of(data_type),
                                reduction_of(reduce_op), comm, queue);
  });
}

CNCL_EXPORT cnclResult_t cnclAlltoAll(const void* send_buffer, void* recv_buffer,
                                      std::size_t count, cnclDataType_t data_type, cnclComm_t comm,
                                      cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    communicator(comm);
    const accel_ranks::DataType type = type_of(data_type);
    accel_ranks::all_to_all(send_buffer, count, type, recv_buffer, count, type, comm, queue);
  });
}

CNCL_EXPORT cnclResult_t cnclAlltoAllv(const void** send_buffers, std::uint32_t* send_counts,
                                       cnclDataType_t* send_types, void** recv_buffers,
                                       std::uint32_t* recv_counts, cnclDataType_t* recv_types,
                                       cnclComm_t comm, cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    const std::uint32_t ranks = communicator(comm)->size();
    check_pointer("send_buffers", send_buffers);
    check_pointer("send_counts", send_counts);
    check_pointer("recv_buffers", recv_buffers);
    check_pointer("recv_counts", recv_counts);
    accel_ranks::CollectiveCall call = accel_ranks::describe(
        accel_ranks::Operation::kAlltoAllV, type_of(only_type("send_types", send_types, ranks)),
        nullptr, nullptr, 0);
    call.receive_type = type_of(only_type("recv_types", recv_types, ranks));
    call.send_counts.assign(send_counts, send_counts + ranks);
    call.send_at.assign(send_buffers, send_buffers + ranks);
    call.receive_counts.assign(recv_counts, recv_counts + ranks);
    call.receive_at.assign(recv_buffers, recv_buffers + ranks);
    for (std::uint32_t i = 0; i < ranks; ++i) {
      if (send_counts[i] > 0) check_pointer("an entry of send_buffers", send_buffers[i]);
      if (recv_counts[i] > 0) check_pointer("an entry of recv_buffers", recv_buffers[i]);
    }
    check_apart(call);
    accel_ranks::submit(comm, std::move(call), queue);
  });
}

CNCL_EXPORT cnclResult_t cnclSend(void* buffer, std::size_t count, cnclDataType_t data_type,
                                  int dest, cnclComm_t comm, cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::submit(
        comm, Message{true, buffer, count, type_of(data_type), rank_of("dest", dest)}, queue);
  });
}

CNCL_EXPORT cnclResult_t cnclRecv(void* buffer, std::size_t count, cnclDataType_t data_type,
                                  int source, cnclComm_t comm, cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::submit(
        comm, Message{false, buffer, count, type_of(data_type), rank_of("source", source)}, queue);
  });
}

CNCL_EXPORT cnclResult_t cnclGroupStart() {
  return guarded(__func__, [] { accel_ranks::start_group(); });
}

CNCL_EXPORT cnclResult_t cnclGroupEnd() {
  return guarded(__func__, [] { accel_ranks::end_group(); });
}
