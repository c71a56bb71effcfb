// Making, asking and ending communicators.

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>

#include "accel_sim/devices.hpp"
#include "accel_sim/ranks/communicator.hpp"
#include "accel_sim/ranks/operations.hpp"
#include "configuration.hpp"
#include "exports.hpp"
#include "rank_table.hpp"

namespace accel_hccl {
namespace {

using accel_ranks::check_pointer;
using accel_ranks::communicator_of;
using accel_ranks::CommunicatorPointer;
using accel_ranks::Deadline;
using accel_ranks::FrameKind;
using accel_ranks::Joined;
using accel_ranks::RootRecord;
using accel_ranks::Tag;

// The root's record lies at the begin of HCCL's structure.
static_assert(sizeof(RootRecord) <= sizeof(HcclRootInfo));

RootRecord record_of(const HcclRootInfo& info) {
  RootRecord record;
  std::memcpy(&record, &info, sizeof record);
  return record;
}

void give_root(HcclRootInfo& info) {
  const RootRecord record = accel_ranks::make_root();
  std::memset(&info, 0, sizeof info);
  std::memcpy(&info, &record, sizeof record);
}

HcclComm make(Joined joined, std::uint32_t rank, int device, const accel_ranks::Times& times) {
  return accel_ranks::publish(
      std::make_shared<accel_ranks::Communicator>(std::move(joined), rank, device, times));
}

void init_by_root(std::uint32_t ranks, const HcclRootInfo* root, std::uint32_t rank,
                  const HcclCommConfig* config, HcclComm* comm) {
  check_pointer("rootInfo", root);
  check_pointer("comm", comm);
  const int device = accel_sim::current_device_index();
  const Configuration wanted = read_configuration(config);
  Joined joined =
      accel_ranks::join(record_of(*root), {ranks, rank, wanted.name, wanted.times.connect});
  *comm = make(std::move(joined), rank, device, wanted.times);
}

void init_by_table(const char* path, std::uint32_t rank, const HcclCommConfig* config,
                   HcclComm* comm) {
  check_pointer("clusterInfo", path);
  check_pointer("comm", comm);
  const int device = accel_sim::current_device_index();
  const Configuration wanted = read_configuration(config);
  const RankTable table = read_rank_table(path);
  if (rank >= table.ranks) {
    throw RankFailure(Problem::argument, "rank " + std::to_string(rank) +
                                             " is not in the rank table of " +
                                             std::to_string(table.ranks) + " ranks");
  }
  Joined joined = accel_ranks::join_by_name(
      table.address, {table.ranks, rank, wanted.name, wanted.times.connect});
  *comm = make(std::move(joined), rank, device, wanted.times);
}

// The first member of a sub-communicator is its root, and tells the others over the parent's
// connections.
void create_sub(accel_ranks::Communicator& parent, std::uint32_t ranks, const std::uint32_t* ids,
                std::uint64_t sub_id, std::uint32_t sub_rank, const HcclCommConfig* config,
                HcclComm* sub) {
  check_pointer("rankIds", ids);
  std::set<std::uint32_t> members;
  for (std::uint32_t i = 0; i < ranks; ++i) {
    if (ids[i] >= parent.size() || !members.insert(ids[i]).second) {
      throw RankFailure(Problem::argument,
                        "rankIds[" + std::to_string(i) + "] is " + std::to_string(ids[i]) +
                            ": each must be another rank of the communicator's " +
                            std::to_string(parent.size()));
    }
  }
  if (sub_rank >= ranks || ids[sub_rank] != parent.rank()) {
    throw RankFailure(Problem::argument, "subCommRankId " + std::to_string(sub_rank) +
                                             " is not this rank's place in rankIds");
  }
  const Configuration wanted = read_configuration(config);
  const Deadline deadline = accel_ranks::deadline_after(wanted.times.connect);
  RootRecord root{};
  if (sub_rank == 0) {
    root = accel_ranks::make_root();
    for (std::uint32_t i = 1; i < ranks; ++i) {
      const Tag tag{FrameKind::kRootInfo, parent.next_sub(sub_id, ids[i]), sub_id};
      parent.mesh().send(ids[i], tag, &root, sizeof root, deadline);
    }
  } else {
    const Tag tag{FrameKind::kRootInfo, parent.next_sub(sub_id, ids[0]), sub_id};
    const accel_ranks::Bytes bytes = parent.mesh().receive(ids[0], tag, deadline, [&] {
      return "rank " + std::to_string(ids[0]) + " did not create sub-communicator " +
             std::to_string(sub_id) + " in time (HCCL_CONNECT_TIMEOUT)";
    });
    std::memcpy(&root, bytes.data(), std::min(sizeof root, bytes.size()));
  }
  Joined joined = accel_ranks::join(root, {ranks, sub_rank, wanted.name, wanted.times.connect});
  *sub = make(std::move(joined), sub_rank, parent.device(), wanted.times);
}

}  // namespace
}  // namespace accel_hccl

using namespace accel_hccl;

HCCL_EXPORT HcclResult HcclGetRootInfo(HcclRootInfo* rootInfo) {
  return guarded(__func__, [&] {
    check_pointer("rootInfo", rootInfo);
    give_root(*rootInfo);
  });
}

HCCL_EXPORT HcclResult HcclGetRootInfoScalable(HcclRootInfo* rootInfo) {
  return guarded(__func__, [&] {
    check_pointer("rootInfo", rootInfo);
    give_root(*rootInfo);
  });
}

HCCL_EXPORT HcclResult HcclCommInitRootInfo(std::uint32_t nRanks, const HcclRootInfo* rootInfo,
                                            std::uint32_t rank, HcclComm* comm) {
  return guarded(__func__, [&] { init_by_root(nRanks, rootInfo, rank, nullptr, comm); });
}

HCCL_EXPORT HcclResult HcclCommInitRootInfoConfig(std::uint32_t nRanks,
                                                  const HcclRootInfo* rootInfo, std::uint32_t rank,
                                                  const HcclCommConfig* config, HcclComm* comm) {
  return guarded(__func__, [&] { init_by_root(nRanks, rootInfo, rank, config, comm); });
}

// Several roots only spread the work of joining; one is enough on one machine.
HCCL_EXPORT HcclResult HcclCommInitRootInfoScalable(std::uint32_t nRanks, std::uint32_t nRoot,
                                                    const HcclRootInfo* rootInfoList,
                                                    std::uint32_t rank, std::uint32_t nExtRoot,
                                                    const HcclCommConfig* config, HcclComm* comm) {
  return guarded(__func__, [&] {
    if (nRoot == 0 || nExtRoot != 0) {
      throw RankFailure(Problem::argument, "nRoot must be at least 1 and nExtRoot 0");
    }
    init_by_root(nRanks, rootInfoList, rank, config, comm);
  });
}

HCCL_EXPORT HcclResult HcclCommInitClusterInfo(const char* clusterInfo, std::uint32_t rank,
                                               HcclComm* comm) {
  return guarded(__func__, [&] { init_by_table(clusterInfo, rank, nullptr, comm); });
}

HCCL_EXPORT HcclResult HcclCommInitClusterInfoConfig(const char* clusterInfo, std::uint32_t rank,
                                                     HcclCommConfig* config, HcclComm* comm) {
  return guarded(__func__, [&] { init_by_table(clusterInfo, rank, config, comm); });
}

HCCL_EXPORT HcclResult HcclCommInitAll(std::uint32_t ndev, std::int32_t* devices,
                                       HcclComm* comms) {
  return guarded(__func__, [&] {
    check_pointer("devices", devices);
    check_pointer("comms", comms);
    std::set<std::int32_t> used;
    for (std::uint32_t i = 0; i < ndev; ++i) {
      accel_sim::device_at(devices[i]);
      if (!used.insert(devices[i]).second) {
        throw RankFailure(Problem::argument,
                          "devices lists " + std::to_string(devices[i]) + " twice");
      }
    }
    const accel_ranks::Times times = times_from_environment();
    std::vector<Joined> joined = accel_ranks::join_here(ndev, accel_ranks::unique_name());
    for (std::uint32_t i = 0; i < ndev; ++i) {
      comms[i] = make(std::move(joined[i]), i, devices[i], times);
    }
  });
}

// A rank that is not in the new communicator calls with rankIds null and subCommId 0xFFFFFFFF.
HCCL_EXPORT HcclResult HcclCreateSubCommConfig(HcclComm* comm, std::uint32_t rankNum,
                                               std::uint32_t* rankIds, std::uint64_t subCommId,
                                               std::uint32_t subCommRankId, HcclCommConfig* config,
                                               HcclComm* subComm) {
  return guarded(__func__, [&] {
    check_pointer("comm", comm);
    check_pointer("subComm", subComm);
    const CommunicatorPointer parent = communicator_of(*comm);
    if (rankIds == nullptr && subCommId == 0xFFFFFFFF) {
      *subComm = nullptr;
      return;
    }
    create_sub(*parent, rankNum, rankIds, subCommId, subCommRankId, config, subComm);
  });
}

HCCL_EXPORT HcclResult HcclCommDestroy(HcclComm comm) {
  return guarded(__func__, [&] { accel_ranks::retire(comm)->destroy(); });
}

HCCL_EXPORT HcclResult HcclGetRankSize(HcclComm comm, std::uint32_t* rankSize) {
  return guarded(__func__, [&] {
    check_pointer("rankSize", rankSize);
    *rankSize = communicator_of(comm)->size();
  });
}

HCCL_EXPORT HcclResult HcclGetRankId(HcclComm comm, std::uint32_t* rank) {
  return guarded(__func__, [&] {
    check_pointer("rank", rank);
    *rank = communicator_of(comm)->rank();
  });
}

HCCL_EXPORT HcclResult HcclGetCommName(HcclComm comm, char* commName) {
  return guarded(__func__, [&] {
    check_pointer("commName", commName);
    const std::string& name = communicator_of(comm)->name();
    std::memcpy(commName, name.c_str(), name.size() + 1);
  });
}

HCCL_EXPORT HcclResult HcclGetCommAsyncError(HcclComm comm, HcclResult* asyncError) {
  return guarded(__func__, [&] {
    check_pointer("asyncError", asyncError);
    *asyncError = code_of(communicator_of(comm)->state(nullptr));
  });
}

HCCL_EXPORT const char* HcclGetErrorString(HcclResult code) { return result_name(code); }

HCCL_EXPORT std::uint32_t HcclGetCommConfigCapability() { return configuration_capability(); }

HCCL_EXPORT HcclResult HcclCommSuspend(HcclComm comm) {
  return guarded(__func__, [&] {
    communicator_of(comm)->mesh().fail(Problem::suspended, "the communicator is suspended", false);
  });
}

HCCL_EXPORT HcclResult HcclCommResume(HcclComm comm) {
  return guarded(__func__, [&] { communicator_of(comm)->resume(); });
}
