// Sends, receives and groups, as the ABI has them.

#include "buffers.hpp"
#include "exports.hpp"
#include "groups.hpp"
#include "messages.hpp"

namespace accel_hccl {
namespace {

void submit_one(HcclComm comm, const Message& message, aclrtStream stream) {
  const CommunicatorPointer communicator = communicator_of(comm);
  if (message.count > 0) check_pointer(message.sends ? "sendBuf" : "recvBuf", message.buffer);
  if (in_group()) {
    hold(communicator, message, stream);
    return;
  }
  if (message.peer == communicator->rank()) {
    throw HcclFailure(HCCL_E_PARA,
                      "rank " + std::to_string(message.peer) + " is this rank itself");
  }
  launch_messages(communicator, message.sends ? Operation::kSend : Operation::kRecv, {message},
                  stream);
}

}  // namespace
}  // namespace accel_hccl

using namespace accel_hccl;

HCCL_EXPORT HcclResult HcclSend(void* sendBuf, std::uint64_t count, HcclDataType dataType,
                                std::uint32_t destRank, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    submit_one(comm, {true, sendBuf, count, dataType, destRank}, stream);
  });
}

HCCL_EXPORT HcclResult HcclRecv(void* recvBuf, std::uint64_t count, HcclDataType dataType,
                                std::uint32_t srcRank, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    submit_one(comm, {false, recvBuf, count, dataType, srcRank}, stream);
  });
}

HCCL_EXPORT HcclResult HcclBatchSendRecv(HcclSendRecvItem* sendRecvInfo, std::uint32_t itemNum,
                                         HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    const CommunicatorPointer communicator = communicator_of(comm);
    check_pointer("sendRecvInfo", sendRecvInfo);
    if (itemNum == 0) throw HcclFailure(HCCL_E_PARA, "itemNum is 0");
    std::vector<Message> messages;
    for (std::uint32_t i = 0; i < itemNum; ++i) {
      const HcclSendRecvItem& item = sendRecvInfo[i];
      if (item.sendRecvType != HCCL_SEND && item.sendRecvType != HCCL_RECV) {
        throw HcclFailure(HCCL_E_PARA, "sendRecvInfo[" + std::to_string(i) +
                                           "].sendRecvType is neither HCCL_SEND nor HCCL_RECV");
      }
      messages.push_back({item.sendRecvType == HCCL_SEND, item.buf, item.count, item.dataType,
                          item.remoteRank});
    }
    if (in_group()) {
      for (const Message& message : messages) hold(communicator, message, stream);
      return;
    }
    launch_messages(communicator, Operation::kBatchSendRecv, std::move(messages), stream);
  });
}

HCCL_EXPORT HcclResult HcclGroupStart() {
  return guarded(__func__, [] { start_group(); });
}

HCCL_EXPORT HcclResult HcclGroupEnd() {
  return guarded(__func__, [] { end_group(); });
}
