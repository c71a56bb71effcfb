// Sends, receives and groups, as the ABI has them.

#include <string>
#include <utility>
#include <vector>

#include "accel_sim/ranks/groups.hpp"
#include "accel_sim/ranks/operations.hpp"
#include "dtypes.hpp"
#include "exports.hpp"

using namespace accel_hccl;
using accel_ranks::Message;

HCCL_EXPORT HcclResult HcclSend(void* sendBuf, std::uint64_t count, HcclDataType dataType,
                                std::uint32_t destRank, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::submit(comm, Message{true, sendBuf, count, type_of(dataType), destRank}, stream);
  });
}

HCCL_EXPORT HcclResult HcclRecv(void* recvBuf, std::uint64_t count, HcclDataType dataType,
                                std::uint32_t srcRank, HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::submit(comm, Message{false, recvBuf, count, type_of(dataType), srcRank}, stream);
  });
}

HCCL_EXPORT HcclResult HcclBatchSendRecv(HcclSendRecvItem* sendRecvInfo, std::uint32_t itemNum,
                                         HcclComm comm, aclrtStream stream) {
  return guarded(__func__, [&] {
    accel_ranks::communicator_of(comm);  // a bad handle before a bad list
    accel_ranks::check_pointer("sendRecvInfo", sendRecvInfo);
    if (itemNum == 0) throw RankFailure(Problem::argument, "itemNum is 0");
    std::vector<Message> messages;
    for (std::uint32_t i = 0; i < itemNum; ++i) {
      const HcclSendRecvItem& item = sendRecvInfo[i];
      if (item.sendRecvType != HCCL_SEND && item.sendRecvType != HCCL_RECV) {
        throw RankFailure(Problem::argument,
                          "sendRecvInfo[" + std::to_string(i) +
                              "].sendRecvType is neither HCCL_SEND nor HCCL_RECV");
      }
      messages.push_back({item.sendRecvType == HCCL_SEND, item.buf, item.count,
                          type_of(item.dataType), item.remoteRank});
    }
    accel_ranks::submit(comm, std::move(messages), stream);
  });
}

HCCL_EXPORT HcclResult HcclGroupStart() {
  return guarded(__func__, [] { accel_ranks::start_group(); });
}

HCCL_EXPORT HcclResult HcclGroupEnd() {
  return guarded(__func__, [] { accel_ranks::end_group(); });
}
