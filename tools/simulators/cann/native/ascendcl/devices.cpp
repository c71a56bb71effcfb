// Devices and contexts.
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "accel_sim/memory.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/streams.hpp"
#include "api.hpp"
#include "contexts.hpp"

using namespace ascendcl;

namespace {

// Long enough for any test's work; work that waits for something that never comes is dropped.
constexpr int kResetWaitMs = 20000;

void reset(int index, bool force) {
  accel_sim::Device& device = accel_sim::device_at(index);
  accel_sim::reset_device(device, force ? 0 : kResetWaitMs, force);
  if (accel_sim::has_current_device() && accel_sim::current_device_index() == index) {
    forget_current_context();
  }
}

enum DeviceAttribute {
  kAiCpus = 1,
  kAiCores = 101,
  kCubeCores = 102,
  kVectorCores = 201,
  kMemorySize = 301,
  kL2Size = 302,
  kPhysicalChip = 402,
  kIsVirtual = 501,
};

}  // namespace

ACL_EXPORT int aclrtSetDevice(std::int32_t device) {
  return guarded("aclrtSetDevice", [&] {
    accel_sim::set_current_device(device);
    set_current_context(primary_context(device));
  });
}

ACL_EXPORT int aclrtGetDevice(std::int32_t* device) {
  return guarded("aclrtGetDevice", [&] {
    required(device, "device") = accel_sim::current_device_index();
  });
}

ACL_EXPORT int aclrtResetDevice(std::int32_t device) {
  if (accel_sim::forked_after_use()) return 0;
  return guarded("aclrtResetDevice", [&] { reset(device, false); });
}

ACL_EXPORT int aclrtResetDeviceForce(std::int32_t device) {
  return guarded("aclrtResetDeviceForce", [&] { reset(device, true); });
}

ACL_EXPORT int aclrtGetDeviceCount(std::uint32_t* count) {
  return guarded("aclrtGetDeviceCount", [&] {
    required(count, "count") = static_cast<std::uint32_t>(accel_sim::device_count());
  });
}

ACL_EXPORT int aclrtSynchronizeDevice() {
  return guarded("aclrtSynchronizeDevice",
                 [&] { accel_sim::synchronize_device(accel_sim::current_device()); });
}

ACL_EXPORT int aclrtSynchronizeDeviceWithTimeout(std::int32_t timeout) {
  return guarded("aclrtSynchronizeDeviceWithTimeout",
                 [&] { accel_sim::synchronize_device(accel_sim::current_device(), timeout); });
}

ACL_EXPORT int aclrtCreateContext(void** context, std::int32_t device) {
  return guarded("aclrtCreateContext",
                 [&] { required(context, "context") = create_context(device); });
}

ACL_EXPORT int aclrtDestroyContext(void* context) {
  return guarded("aclrtDestroyContext", [&] { destroy_context(context); });
}

ACL_EXPORT int aclrtSetCurrentContext(void* context) {
  return guarded("aclrtSetCurrentContext", [&] { set_current_context(context); });
}

ACL_EXPORT int aclrtGetCurrentContext(void** context) {
  return guarded("aclrtGetCurrentContext",
                 [&] { required(context, "context") = current_context(); });
}

ACL_EXPORT int aclrtGetPrimaryCtxState(std::int32_t device, std::uint32_t* flags,
                                       std::int32_t* active) {
  return guarded("aclrtGetPrimaryCtxState", [&] {
    if (flags) *flags = 0;
    required(active, "active") = accel_sim::device_at(device).active() ? 1 : 0;
  });
}

ACL_EXPORT int aclrtDeviceCanAccessPeer(std::int32_t* can, std::int32_t device,
                                        std::int32_t peer) {
  return guarded("aclrtDeviceCanAccessPeer", [&] {
    accel_sim::device_at(device);
    accel_sim::device_at(peer);
    required(can, "canAccessPeer") = device != peer ? 1 : 0;
  });
}

ACL_EXPORT int aclrtDeviceEnablePeerAccess(std::int32_t peer, std::uint32_t flags) {
  return guarded("aclrtDeviceEnablePeerAccess", [&] {
    if (flags != 0) throw Failure(Kind::invalid_argument, "flags must be 0");
    accel_sim::current_device().enable_peer(peer);
  });
}

ACL_EXPORT int aclrtDeviceDisablePeerAccess(std::int32_t peer) {
  return guarded("aclrtDeviceDisablePeerAccess",
                 [&] { accel_sim::current_device().disable_peer(peer); });
}

ACL_EXPORT int aclrtDevicePeerAccessStatus(std::int32_t device, std::int32_t peer,
                                           std::int32_t* status) {
  return guarded("aclrtDevicePeerAccessStatus", [&] {
    accel_sim::device_at(peer);
    required(status, "status") = accel_sim::device_at(device).peer_enabled(peer) ? 1 : 0;
  });
}

ACL_EXPORT const char* aclrtGetSocName() { return pose().soc.c_str(); }

ACL_EXPORT int aclGetDeviceCapability(std::uint32_t device, int what, std::int64_t* value) {
  return guarded("aclGetDeviceCapability", [&] {
    accel_sim::device_at(static_cast<int>(device));
    const std::int64_t known[] = {pose().ai_cores, pose().vector_cores, pose().l2_bytes};
    if (what < 0 || what > 2) throw Failure(kInvalidParameter, "no such capability");
    required(value, "value") = known[what];
  });
}

ACL_EXPORT int aclrtGetDeviceInfo(std::uint32_t device, int attribute, std::int64_t* value) {
  return guarded("aclrtGetDeviceInfo", [&] {
    const accel_sim::Device& known = accel_sim::device_at(static_cast<int>(device));
    std::int64_t& out = required(value, "value");
    switch (attribute) {
      case kAiCpus: out = 6; return;
      case kAiCores:
      case kCubeCores: out = pose().ai_cores; return;
      case kVectorCores: out = pose().vector_cores; return;
      case kMemorySize: out = static_cast<std::int64_t>(accel_sim::modes().memory); return;
      case kL2Size: out = pose().l2_bytes; return;
      case kPhysicalChip: out = known.physical(); return;
      case kIsVirtual: out = 0; return;
      default:
        throw Failure(Kind::not_simulated,
                      "device attribute " + std::to_string(attribute) + " is not simulated");
    }
  });
}

ACL_EXPORT int aclrtDeviceGetUuid(std::int32_t device, char* uuid) {
  return guarded("aclrtDeviceGetUuid", [&] {
    const int physical = accel_sim::device_at(device).physical();
    char text[32];
    std::snprintf(text, sizeof text, "accel-sim-npu-%02u", static_cast<unsigned>(physical) % 100);
    std::memcpy(&required(uuid, "uuid"), text, 16);
  });
}

ACL_EXPORT int aclrtDeviceGetBareTgid(std::int32_t* pid) {
  return guarded("aclrtDeviceGetBareTgid", [&] { required(pid, "pid") = getpid(); });
}

ACL_EXPORT int aclrtGetRunMode(int* mode) {
  return guarded("aclrtGetRunMode", [&] { required(mode, "runMode") = 1; });
}

ACL_EXPORT int aclrtQueryDeviceStatus(std::int32_t device, int* status) {
  return guarded("aclrtQueryDeviceStatus", [&] {
    accel_sim::device_at(device);
    required(status, "deviceStatus") = 0;
  });
}

ACL_EXPORT int aclrtGetDeviceUtilizationRate(std::int32_t device, std::int32_t* rates) {
  return guarded("aclrtGetDeviceUtilizationRate", [&] {
    accel_sim::Device& known = accel_sim::device_at(device);
    required(rates, "utilizationInfo");
    bool busy = false;
    for (const auto& stream : known.streams()) busy = busy || !stream->idle();
    const accel_sim::MemoryUse use = accel_sim::memory_use(known);
    rates[0] = rates[1] = busy ? 100 : 0;
    rates[2] = 0;
    rates[3] = static_cast<std::int32_t>(use.used * 100 / use.total);
  });
}

ACL_EXPORT int aclrtGetLogicDevIdByUserDevId(std::int32_t user, std::int32_t* logic) {
  return guarded("aclrtGetLogicDevIdByUserDevId",
                 [&] { required(logic, "logicDevId") = accel_sim::device_at(user).physical(); });
}

ACL_EXPORT int aclrtGetPhyDevIdByLogicDevId(std::int32_t logic, std::int32_t* physical) {
  return guarded("aclrtGetPhyDevIdByLogicDevId",
                 [&] { required(physical, "phyDevId") = logic; });
}

ACL_EXPORT int aclrtDeviceTaskAbort(std::int32_t device, std::uint32_t) {
  return guarded("aclrtDeviceTaskAbort", [&] {
    for (const auto& stream : accel_sim::device_at(device).streams()) stream->abort();
  });
}
