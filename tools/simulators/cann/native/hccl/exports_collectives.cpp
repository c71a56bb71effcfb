// The collectives, as the ABI has them.

#include <utility>
#include <vector>

#include "accel_sim/ranks/operations.hpp"
#include "dtypes.hpp"
#include "exports.hpp"

namespace accel_hccl {
namespace {

using accel_ranks::check_distinct;
using accel_ranks::check_pointer;
using accel_ranks::CollectiveCall;
using accel_ranks::communicator_of;
using accel_ranks::CommunicatorPointer;
using accel_ranks::Operation;
using accel_ranks::places;
using Counts = std::vector<std::uint64_t>;

Counts list(const char* name, const void* values, std::uint32_t ranks) {
  check_pointer(name, values);
  const auto* first = static_cast<const std::uint64_t*>(values);
  return Counts(first, first + ranks);
}

void check_count(const char* name, std::uint64_t count, const char* list_name, std::uint64_t entry,
                 std::uint32_t rank) {
  if (count == entry) return;
  throw RankFailure(Problem::argument, std::string(name) + " is " + std::to_string(count) +
                                           " but " + list_name + "[" + std::to_string(rank) +
                                           "] is " + std::to_string(entry));
}

CollectiveCall describe_exchange(Operation operation, const void* send, HcclDataType send_type,
                                 const void* receive, HcclDataType receive_type) {
  check_distinct(send, receive);
  CollectiveCall call = accel_ranks::describe(operation, type_of(send_type), send,
                                              const_cast<void*>(receive), 0);
  call.receive_type = type_of(receive_type);
  return call;
}

}  // namespace
}  // namespace accel_hccl

using namespace accel_hccl;

HCCL_EXPORT HcclResult HcclAllReduce(void* sendBuf, void* recvBuf, std::uint64_t count,
                                     HcclDataType dataType, HcclReduceOp op, HcclComm comm,
                                     aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::all_reduce(sendBuf, recvBuf, count, type_of(dataType), reduction_of(op), comm,
                            stream);
  });
}

HCCL_EXPORT HcclResult HcclReduce(void* sendBuf, void* recvBuf, std::uint64_t count,
                                  HcclDataType dataType, HcclReduceOp op, std::uint32_t root,
                                  HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::reduce_to(sendBuf, recvBuf, count, type_of(dataType), reduction_of(op), root, comm,
                           stream);
  });
}

HCCL_EXPORT HcclResult HcclBroadcast(void* buf, std::uint64_t count, HcclDataType dataType,
                                     std::uint32_t root, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::broadcast(buf, buf, count, type_of(dataType), root, comm, stream);
  });
}

HCCL_EXPORT HcclResult HcclScatter(void* sendBuf, void* recvBuf, std::uint64_t recvCount,
                                   HcclDataType dataType, std::uint32_t root, HcclComm comm,
                                   aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::scatter(sendBuf, recvBuf, recvCount, type_of(dataType), root, comm, stream);
  });
}

HCCL_EXPORT HcclResult HcclAllGather(void* sendBuf, void* recvBuf, std::uint64_t sendCount,
                                     HcclDataType dataType, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::all_gather(sendBuf, recvBuf, sendCount, type_of(dataType), comm, stream);
  });
}

HCCL_EXPORT HcclResult HcclAllGatherV(void* sendBuf, std::uint64_t sendCount, void* recvBuf,
                                      const void* recvCounts, const void* recvDispls,
                                      HcclDataType dataType, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    const CommunicatorPointer communicator = communicator_of(comm);
    CollectiveCall call = accel_ranks::describe(Operation::kAllGatherV, type_of(dataType), sendBuf,
                                                recvBuf, 0);
    call.receive_counts = list("recvCounts", recvCounts, communicator->size());
    call.receive_at =
        places(recvBuf, list("recvDispls", recvDispls, communicator->size()), call.type);
    check_count("sendCount", sendCount, "recvCounts",
                call.receive_counts[communicator->rank()], communicator->rank());
    if (sendCount > 0) check_pointer("sendBuf", sendBuf);
    check_distinct(sendBuf, recvBuf);
    accel_ranks::submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclReduceScatter(void* sendBuf, void* recvBuf, std::uint64_t recvCount,
                                         HcclDataType dataType, HcclReduceOp op, HcclComm comm,
                                         aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::reduce_scatter(sendBuf, recvBuf, recvCount, type_of(dataType), reduction_of(op),
                                comm, stream);
  });
}

HCCL_EXPORT HcclResult HcclReduceScatterV(void* sendBuf, const void* sendCounts,
                                          const void* sendDispls, void* recvBuf,
                                          std::uint64_t recvCount, HcclDataType dataType,
                                          HcclReduceOp op, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    const CommunicatorPointer communicator = communicator_of(comm);
    CollectiveCall call = accel_ranks::describe_reduction(
        Operation::kReduceScatterV, type_of(dataType), reduction_of(op), sendBuf, recvBuf, 0);
    call.send_counts = list("sendCounts", sendCounts, communicator->size());
    call.send_at = places(static_cast<const void*>(sendBuf),
                          list("sendDispls", sendDispls, communicator->size()), call.type);
    check_count("recvCount", recvCount, "sendCounts",
                call.send_counts[communicator->rank()], communicator->rank());
    if (recvCount > 0) check_pointer("recvBuf", recvBuf);
    check_distinct(sendBuf, recvBuf);
    accel_ranks::submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclAlltoAll(const void* sendBuf, std::uint64_t sendCount,
                                    HcclDataType sendType, const void* recvBuf,
                                    std::uint64_t recvCount, HcclDataType recvType, HcclComm comm,
                                    aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::all_to_all(sendBuf, sendCount, type_of(sendType), const_cast<void*>(recvBuf),
                            recvCount, type_of(recvType), comm, stream);
  });
}

HCCL_EXPORT HcclResult HcclAlltoAllV(const void* sendBuf, const void* sendCounts,
                                     const void* sdispls, HcclDataType sendType,
                                     const void* recvBuf, const void* recvCounts,
                                     const void* rdispls, HcclDataType recvType, HcclComm comm,
                                     aclrtStream stream) {
  return guarded(__func__, [&] {
    CollectiveCall call =
        describe_exchange(Operation::kAlltoAllV, sendBuf, sendType, recvBuf, recvType);
    const std::uint32_t ranks = communicator_of(comm)->size();
    call.send_counts = list("sendCounts", sendCounts, ranks);
    call.send_at = places(call.send, list("sdispls", sdispls, ranks), call.type);
    call.receive_counts = list("recvCounts", recvCounts, ranks);
    call.receive_at = places(call.receive, list("rdispls", rdispls, ranks), call.receive_type);
    accel_ranks::submit(comm, std::move(call), stream);
  });
}

// The matrix [sender][receiver] says everything; pieces lie one behind the other.
HCCL_EXPORT HcclResult HcclAlltoAllVC(const void* sendBuf, const void* sendCountMatrix,
                                      HcclDataType sendType, const void* recvBuf,
                                      HcclDataType recvType, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    CollectiveCall call =
        describe_exchange(Operation::kAlltoAllVC, sendBuf, sendType, recvBuf, recvType);
    const CommunicatorPointer communicator = communicator_of(comm);
    const std::uint32_t ranks = communicator->size();
    const std::uint32_t rank = communicator->rank();
    const Counts matrix = list("sendCountMatrix", sendCountMatrix, ranks * ranks);
    Counts sent{0};
    Counts received{0};
    for (std::uint32_t i = 0; i < ranks; ++i) {
      call.send_counts.push_back(matrix[rank * ranks + i]);
      call.receive_counts.push_back(matrix[i * ranks + rank]);
      sent.push_back(sent.back() + call.send_counts.back());
      received.push_back(received.back() + call.receive_counts.back());
    }
    call.send_at = places(call.send, sent, call.type);
    call.receive_at = places(call.receive, received, call.receive_type);
    accel_ranks::submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclBarrier(HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] { accel_ranks::barrier(comm, stream); });
}
