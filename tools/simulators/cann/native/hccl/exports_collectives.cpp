// The collectives, as the ABI has them: each becomes one CollectiveCall.

#include <utility>

#include "accel_sim/modes.hpp"
#include "buffers.hpp"
#include "collectives.hpp"
#include "exports.hpp"
#include "groups.hpp"

namespace accel_hccl {
namespace {

using Counts = std::vector<std::uint64_t>;

void submit(HcclComm comm, CollectiveCall call, aclrtStream stream) {
  const CommunicatorPointer communicator = communicator_of(comm);
  if (in_group()) {
    hold([communicator, call = std::move(call), stream] { launch(communicator, call, stream); });
  } else {
    launch(communicator, std::move(call), stream);
  }
}

CollectiveCall begin(Operation operation, HcclDataType type, const void* send, void* receive,
                     std::uint64_t count) {
  CollectiveCall call;
  call.operation = operation;
  call.type = call.receive_type = type;
  call.send = send;
  call.receive = receive;
  call.count = count;
  return call;
}

CollectiveCall begin_reduction(Operation operation, HcclDataType type, HcclReduceOp op,
                               const void* send, void* receive, std::uint64_t count) {
  CollectiveCall call = begin(operation, type, send, receive, count);
  call.reduces = true;
  call.reduction = op;
  return call;
}

Counts list(const char* name, const void* values, std::uint32_t ranks) {
  check_pointer(name, values);
  const auto* first = static_cast<const std::uint64_t*>(values);
  return Counts(first, first + ranks);
}

// Equal pieces, one behind the other.
void set_even(Counts& counts, Counts& offsets, std::uint64_t count, std::uint32_t ranks) {
  counts.assign(ranks, count);
  offsets.resize(ranks);
  for (std::uint32_t i = 0; i < ranks; ++i) offsets[i] = i * count;
}

void check_both(const void* send, const void* receive, bool empty) {
  if (empty) return;
  check_pointer("sendBuf", send);
  check_pointer("recvBuf", receive);
}

void check_distinct(const void* send, const void* receive) {
  if (!accel_sim::modes().strict || send != receive || send == nullptr) return;
  throw HcclFailure(HCCL_E_PARA, "sendBuf and recvBuf must not be the same (strict mode)");
}

void check_count(const char* name, std::uint64_t count, const char* list_name, std::uint64_t entry,
                 std::uint32_t rank) {
  if (count == entry) return;
  throw HcclFailure(HCCL_E_PARA, std::string(name) + " is " + std::to_string(count) + " but " +
                                     list_name + "[" + std::to_string(rank) + "] is " +
                                     std::to_string(entry));
}

}  // namespace
}  // namespace accel_hccl

using namespace accel_hccl;

HCCL_EXPORT HcclResult HcclAllReduce(void* sendBuf, void* recvBuf, std::uint64_t count,
                                     HcclDataType dataType, HcclReduceOp op, HcclComm comm,
                                     aclrtStream stream) {
  return guarded(__func__, [&] {
    check_both(sendBuf, recvBuf, count == 0);
    submit(comm,
           begin_reduction(Operation::kAllReduce, dataType, op, sendBuf, recvBuf, count), stream);
  });
}

HCCL_EXPORT HcclResult HcclReduce(void* sendBuf, void* recvBuf, std::uint64_t count,
                                  HcclDataType dataType, HcclReduceOp op, std::uint32_t root,
                                  HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    if (count > 0) check_pointer("sendBuf", sendBuf);
    if (count > 0 && communicator_of(comm)->rank() == root) {
      check_pointer("recvBuf", recvBuf);
    }
    CollectiveCall call =
        begin_reduction(Operation::kReduce, dataType, op, sendBuf, recvBuf, count);
    call.root = root;
    submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclBroadcast(void* buf, std::uint64_t count, HcclDataType dataType,
                                     std::uint32_t root, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    if (count > 0) check_pointer("buf", buf);
    CollectiveCall call = begin(Operation::kBroadcast, dataType, nullptr, buf, count);
    call.root = root;
    submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclScatter(void* sendBuf, void* recvBuf, std::uint64_t recvCount,
                                   HcclDataType dataType, std::uint32_t root, HcclComm comm,
                                   aclrtStream stream) {
  return guarded(__func__, [&] {
    if (recvCount > 0) check_pointer("recvBuf", recvBuf);
    if (recvCount > 0 && communicator_of(comm)->rank() == root) {
      check_pointer("sendBuf", sendBuf);
    }
    CollectiveCall call = begin(Operation::kScatter, dataType, sendBuf, recvBuf, recvCount);
    call.root = root;
    submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclAllGather(void* sendBuf, void* recvBuf, std::uint64_t sendCount,
                                     HcclDataType dataType, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    check_both(sendBuf, recvBuf, sendCount == 0);
    CollectiveCall call = begin(Operation::kAllGather, dataType, sendBuf, recvBuf, sendCount);
    set_even(call.receive_counts, call.receive_offsets, sendCount, communicator_of(comm)->size());
    submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclAllGatherV(void* sendBuf, std::uint64_t sendCount, void* recvBuf,
                                      const void* recvCounts, const void* recvDispls,
                                      HcclDataType dataType, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    const CommunicatorPointer communicator = communicator_of(comm);
    CollectiveCall call = begin(Operation::kAllGatherV, dataType, sendBuf, recvBuf, 0);
    call.receive_counts = list("recvCounts", recvCounts, communicator->size());
    call.receive_offsets = list("recvDispls", recvDispls, communicator->size());
    check_count("sendCount", sendCount, "recvCounts",
                call.receive_counts[communicator->rank()], communicator->rank());
    if (sendCount > 0) check_pointer("sendBuf", sendBuf);
    check_distinct(sendBuf, recvBuf);
    submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclReduceScatter(void* sendBuf, void* recvBuf, std::uint64_t recvCount,
                                         HcclDataType dataType, HcclReduceOp op, HcclComm comm,
                                         aclrtStream stream) {
  return guarded(__func__, [&] {
    check_both(sendBuf, recvBuf, recvCount == 0);
    CollectiveCall call =
        begin_reduction(Operation::kReduceScatter, dataType, op, sendBuf, recvBuf, recvCount);
    set_even(call.send_counts, call.send_offsets, recvCount, communicator_of(comm)->size());
    submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclReduceScatterV(void* sendBuf, const void* sendCounts,
                                          const void* sendDispls, void* recvBuf,
                                          std::uint64_t recvCount, HcclDataType dataType,
                                          HcclReduceOp op, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    const CommunicatorPointer communicator = communicator_of(comm);
    CollectiveCall call =
        begin_reduction(Operation::kReduceScatterV, dataType, op, sendBuf, recvBuf, 0);
    call.send_counts = list("sendCounts", sendCounts, communicator->size());
    call.send_offsets = list("sendDispls", sendDispls, communicator->size());
    check_count("recvCount", recvCount, "sendCounts",
                call.send_counts[communicator->rank()], communicator->rank());
    if (recvCount > 0) check_pointer("recvBuf", recvBuf);
    check_distinct(sendBuf, recvBuf);
    submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclAlltoAll(const void* sendBuf, std::uint64_t sendCount,
                                    HcclDataType sendType, const void* recvBuf,
                                    std::uint64_t recvCount, HcclDataType recvType, HcclComm comm,
                                    aclrtStream stream) {
  return guarded(__func__, [&] {
    check_both(sendBuf, recvBuf, sendCount == 0 && recvCount == 0);
    check_distinct(sendBuf, recvBuf);
    CollectiveCall call = begin(Operation::kAlltoAll, sendType, sendBuf,
                                const_cast<void*>(recvBuf), 0);
    call.receive_type = recvType;
    const std::uint32_t ranks = communicator_of(comm)->size();
    set_even(call.send_counts, call.send_offsets, sendCount, ranks);
    set_even(call.receive_counts, call.receive_offsets, recvCount, ranks);
    submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclAlltoAllV(const void* sendBuf, const void* sendCounts,
                                     const void* sdispls, HcclDataType sendType,
                                     const void* recvBuf, const void* recvCounts,
                                     const void* rdispls, HcclDataType recvType, HcclComm comm,
                                     aclrtStream stream) {
  return guarded(__func__, [&] {
    check_distinct(sendBuf, recvBuf);
    CollectiveCall call = begin(Operation::kAlltoAllV, sendType, sendBuf,
                                const_cast<void*>(recvBuf), 0);
    call.receive_type = recvType;
    const std::uint32_t ranks = communicator_of(comm)->size();
    call.send_counts = list("sendCounts", sendCounts, ranks);
    call.send_offsets = list("sdispls", sdispls, ranks);
    call.receive_counts = list("recvCounts", recvCounts, ranks);
    call.receive_offsets = list("rdispls", rdispls, ranks);
    submit(comm, std::move(call), stream);
  });
}

// The matrix [sender][receiver] says everything; pieces lie one behind the other.
HCCL_EXPORT HcclResult HcclAlltoAllVC(const void* sendBuf, const void* sendCountMatrix,
                                      HcclDataType sendType, const void* recvBuf,
                                      HcclDataType recvType, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    check_distinct(sendBuf, recvBuf);
    CollectiveCall call = begin(Operation::kAlltoAllVC, sendType, sendBuf,
                                const_cast<void*>(recvBuf), 0);
    call.receive_type = recvType;
    const CommunicatorPointer communicator = communicator_of(comm);
    const std::uint32_t ranks = communicator->size();
    const std::uint32_t rank = communicator->rank();
    const Counts matrix = list("sendCountMatrix", sendCountMatrix, ranks * ranks);
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    for (std::uint32_t i = 0; i < ranks; ++i) {
      call.send_counts.push_back(matrix[rank * ranks + i]);
      call.send_offsets.push_back(sent);
      sent += call.send_counts.back();
      call.receive_counts.push_back(matrix[i * ranks + rank]);
      call.receive_offsets.push_back(received);
      received += call.receive_counts.back();
    }
    submit(comm, std::move(call), stream);
  });
}

HCCL_EXPORT HcclResult HcclBarrier(HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    submit(comm, begin(Operation::kBarrier, HCCL_DATA_TYPE_INT8, nullptr, nullptr, 0), stream);
  });
}
