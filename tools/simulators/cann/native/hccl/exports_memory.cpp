// Memory that a program registers with a communicator, and settings. Registration makes transfers
// faster on hardware; here it is kept and checked, and moves nothing.

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

#include "accel_sim/ranks/communicator.hpp"
#include "accel_sim/ranks/operations.hpp"
#include "exports.hpp"

namespace accel_hccl {
namespace {

using accel_ranks::check_pointer;
using accel_ranks::communicator_of;
using accel_ranks::CommunicatorPointer;

struct Range {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  bool holds(std::uintptr_t first, std::size_t length) const {
    return first >= begin && length <= bytes && first - begin <= bytes - length;
  }
};

struct Registered {
  std::mutex mutex;
  std::map<HcclComm, std::map<std::uintptr_t, Range>> ranges;     // reserved addresses
  std::map<HcclComm, std::map<std::uintptr_t, Range>> activated;  // backed parts of them
  std::map<HcclComm, std::map<void*, Range>> windows;
};

Registered& registered() {
  static Registered* const only = new Registered;
  return *only;
}

std::uintptr_t number(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

std::atomic<std::int32_t> settings[2];

std::atomic<std::int32_t>& setting(HcclConfig config) {
  if (config != HCCL_DETERMINISTIC && config != HCCL_ACCELERATOR) {
    throw RankFailure(Problem::argument, "config " + std::to_string(static_cast<int>(config)) +
                                       " is no setting of HCCL");
  }
  return settings[config];
}

[[noreturn]] void unknown(const char* name) {
  throw RankFailure(Problem::not_found, std::string(name) + " is not registered");
}

}  // namespace
}  // namespace accel_hccl

using namespace accel_hccl;

// Results are deterministic here whatever is set.
HCCL_EXPORT HcclResult HcclSetConfig(HcclConfig config, HcclConfigValue configValue) {
  return guarded(__func__, [&] { setting(config) = configValue.value; });
}

HCCL_EXPORT HcclResult HcclGetConfig(HcclConfig config, HcclConfigValue* configValue) {
  return guarded(__func__, [&] {
    check_pointer("configValue", configValue);
    configValue->value = setting(config);
  });
}

HCCL_EXPORT HcclResult HcclCommSetMemoryRange(HcclComm comm, void* baseVirPtr, std::size_t size,
                                              std::size_t alignment, std::uint64_t flags) {
  return guarded(__func__, [&] {
    communicator_of(comm);
    check_pointer("baseVirPtr", baseVirPtr);
    if (size == 0 || alignment != 0 || flags != 0) {
      throw RankFailure(Problem::argument, "size must be positive, alignment and flags 0");
    }
    std::lock_guard<std::mutex> lock(registered().mutex);
    registered().ranges[comm][number(baseVirPtr)] = {number(baseVirPtr), size};
  });
}

HCCL_EXPORT HcclResult HcclCommUnsetMemoryRange(HcclComm comm, void* baseVirPtr) {
  return guarded(__func__, [&] {
    communicator_of(comm);
    std::lock_guard<std::mutex> lock(registered().mutex);
    if (registered().ranges[comm].erase(number(baseVirPtr)) == 0) unknown("baseVirPtr");
  });
}

HCCL_EXPORT HcclResult HcclCommActivateCommMemory(HcclComm comm, void* virPtr, std::size_t size,
                                                  std::size_t offset, void* handle,
                                                  std::uint64_t flags) {
  return guarded(__func__, [&] {
    communicator_of(comm);
    check_pointer("handle", handle);
    if (offset != 0 || flags != 0)
      throw RankFailure(Problem::argument, "offset and flags must be 0");
    std::lock_guard<std::mutex> lock(registered().mutex);
    for (const auto& entry : registered().ranges[comm]) {
      if (!entry.second.holds(number(virPtr), size)) continue;
      registered().activated[comm][number(virPtr)] = {number(virPtr), size};
      return;
    }
    throw RankFailure(Problem::argument,
                      "virPtr and size lie in no range of HcclCommSetMemoryRange");
  });
}

HCCL_EXPORT HcclResult HcclCommDeactivateCommMemory(HcclComm comm, void* virPtr) {
  return guarded(__func__, [&] {
    communicator_of(comm);
    std::lock_guard<std::mutex> lock(registered().mutex);
    if (registered().activated[comm].erase(number(virPtr)) == 0) unknown("virPtr");
  });
}

HCCL_EXPORT HcclResult HcclCommRegister(HcclComm comm, void* addr, std::uint64_t size,
                                        void** handle, std::uint32_t flag) {
  return guarded(__func__, [&] {
    communicator_of(comm);
    check_pointer("addr", addr);
    check_pointer("handle", handle);
    if (size == 0 || flag != 0) {
      throw RankFailure(Problem::argument, "size must be positive, flag 0");
    }
    std::lock_guard<std::mutex> lock(registered().mutex);
    static std::uintptr_t next = 1;
    *handle = reinterpret_cast<void*>(next++);
    registered().windows[comm][*handle] = {number(addr), size};
  });
}

HCCL_EXPORT HcclResult HcclCommDeregister(HcclComm comm, void* handle) {
  return guarded(__func__, [&] {
    communicator_of(comm);
    std::lock_guard<std::mutex> lock(registered().mutex);
    if (registered().windows[comm].erase(handle) == 0) unknown("handle");
  });
}

HCCL_EXPORT HcclResult HcclCommExchangeMem(HcclComm comm, void* windowHandle,
                                           std::uint32_t* peerRanks, std::uint32_t peerRankNum) {
  return guarded(__func__, [&] {
    const CommunicatorPointer communicator = communicator_of(comm);
    check_pointer("peerRanks", peerRanks);
    for (std::uint32_t i = 0; i < peerRankNum; ++i) {
      if (peerRanks[i] >= communicator->size()) {
        throw RankFailure(Problem::argument, "peerRanks[" + std::to_string(i) + "] is " +
                                           std::to_string(peerRanks[i]) + " of " +
                                           std::to_string(communicator->size()) + " ranks");
      }
    }
    std::lock_guard<std::mutex> lock(registered().mutex);
    if (registered().windows[comm].count(windowHandle) == 0) unknown("windowHandle");
  });
}

// Symmetric windows exist on Atlas A3 only, a second network card on none of the posed machines.
HCCL_EXPORT HcclResult HcclCommSymWinRegister(HcclComm, void*, std::uint64_t, void**,
                                              std::uint32_t) {
  return guarded(__func__, [] {
    throw RankFailure(Problem::not_supported,
                      "symmetric windows need Atlas A3, this poses as another");
  });
}

HCCL_EXPORT HcclResult HcclCommSymWinDeregister(void*) {
  return guarded(__func__, [] {
    throw RankFailure(Problem::not_supported,
                      "symmetric windows need Atlas A3, this poses as another");
  });
}

HCCL_EXPORT HcclResult HcclCommWorkingDevNicSet(HcclComm comm, std::uint32_t*, bool*,
                                                std::uint32_t) {
  return guarded(__func__, [&] {
    communicator_of(comm);
    throw RankFailure(Problem::not_supported, "there is no backup network card to switch to");
  });
}
