// Making, asking and ending communicators, as the ABI has them.

#include <algorithm>
#include <string>
#include <vector>

#include "accel_sim/ranks/operations.hpp"
#include "cliques.hpp"
#include "exports.hpp"

namespace accel_cncl {
namespace {

using accel_ranks::check_pointer;

constexpr int kVersion[] = {1, 25, 0};

void check_positive(const char* name, int value) {
  if (value > 0) return;
  throw RankFailure(Problem::argument,
                    std::string(name) + " is " + std::to_string(value) + ", it must be positive");
}

std::vector<int> list(const char* name, const int* values, int count) {
  check_pointer(name, values);
  return std::vector<int>(values, values + count);
}

void give(const char* name, int* out, int value) {
  check_pointer(name, out);
  *out = value;
}

}  // namespace
}  // namespace accel_cncl

using namespace accel_cncl;

CNCL_EXPORT cnclResult_t cnclGetCliqueId(cnclCliqueId_t clique_id) {
  return guarded(__func__, [&] {
    check_pointer("clique_id", clique_id);
    make_clique(*clique_id);
  });
}

CNCL_EXPORT cnclResult_t cnclInitComms(cnclComm_t* comms, int num_comm, const int* dev_list,
                                       const int* rank_list, int nrank,
                                       const cnclCliqueId_t clique_id) {
  return guarded(__func__, [&] {
    check_pointer("comms", comms);
    check_positive("num_comm", num_comm);
    check_positive("nrank", nrank);
    const std::vector<cnclComm_t> made =
        join_clique(list("dev_list", dev_list, num_comm), list("rank_list", rank_list, num_comm),
                    nrank, clique_id);
    std::copy(made.begin(), made.end(), comms);
  });
}

CNCL_EXPORT cnclResult_t cnclFreeComm(cnclComm_t comm) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::retire(comm)->destroy();
  });
}

CNCL_EXPORT cnclResult_t cnclDestroyComms(cnclComm_t* comms, int num_comm) {
  return guarded(__func__, [&] {
    check_pointer("comms", comms);
    check_positive("num_comm", num_comm);
    for (int i = 0; i < num_comm; ++i) communicator(comms[i]);  // all or none
    for (int i = 0; i < num_comm; ++i) accel_ranks::retire(comms[i])->destroy();
  });
}

CNCL_EXPORT cnclResult_t cnclAbortComm(cnclComm_t comm) {
  return guarded(__func__, [&] {
    communicator(comm);
    accel_ranks::retire(comm)->abort();
  });
}

// Calls of one communicator run in its queues' order whatever their priority: kept, not used.
CNCL_EXPORT cnclResult_t cnclSetCommConfig(cnclComm_t comm, const cnclCommConfig_t config) {
  return guarded(__func__, [&] {
    communicator(comm);
    check_pointer("config", config);
    const cnclPriority_t known[] = {CNCL_PRIORITY_DEFAULT, CNCL_PRIORITY_HIGH,
                                    CNCL_PRIORITY_HIGH_FOR_ONCE};
    if (std::find(std::begin(known), std::end(known), config->priority) == std::end(known)) {
      throw RankFailure(Problem::argument, "config: priority is " +
                                               std::to_string(config->priority) +
                                               ", it must be 0x0, 0x10 or 0x11");
    }
  });
}

CNCL_EXPORT cnclResult_t cnclGetCommCount(int* count, cnclComm_t comm) {
  return guarded(__func__,
                 [&] { give("count", count, static_cast<int>(communicator(comm)->size())); });
}

CNCL_EXPORT cnclResult_t cnclGetCommRank(int* rank, cnclComm_t comm) {
  return guarded(__func__,
                 [&] { give("rank", rank, static_cast<int>(communicator(comm)->rank())); });
}

CNCL_EXPORT cnclResult_t cnclGetCommDevice(int* rank, cnclComm_t comm) {
  return guarded(__func__, [&] { give("rank", rank, communicator(comm)->device()); });
}

CNCL_EXPORT cnclResult_t cnclGetCommAsyncError(cnclComm_t comm) {
  cnclResult_t found = CNCL_RET_SUCCESS;
  const cnclResult_t asked = guarded(__func__, [&] {
    const accel_ranks::CommunicatorPointer asked_of = communicator(comm);
    std::string text;
    if (asked_of->state(&text) != Problem::none) {
      found = CNCL_RET_ASYNC_ERROR;
      remember(found, asked_of->where() + ": " + text);
    } else if (asked_of->busy()) {
      found = CNCL_RET_ASYNC_IN_PROGRESS;
    }
  });
  return asked == CNCL_RET_SUCCESS ? found : asked;
}

CNCL_EXPORT const char* cnclGetErrorStr(cnclResult_t ret) { return explain(ret); }

CNCL_EXPORT cnclResult_t cnclGetLibVersion(int* major, int* minor, int* patch) {
  return guarded(__func__, [&] {
    give("major", major, kVersion[0]);
    give("minor", minor, kVersion[1]);
    give("patch", patch, kVersion[2]);
  });
}
