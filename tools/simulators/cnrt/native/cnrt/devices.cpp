// Devices, their attributes and versions.
#include <cstdio>
#include <cstring>

#include "accel_sim/memory.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/simulator.hpp"
#include "accel_sim/streams.hpp"
#include "api.hpp"
#include "devices.hpp"

using namespace cnrt;

namespace {

constexpr int kLeastPriority = 7;
constexpr int kGreatestPriority = 0;
constexpr int kResetWaitMs = 20000;  // work that waits for what never comes is dropped then

}  // namespace

unsigned cnrt::bus_of(int device) {
  return static_cast<unsigned>(accel_sim::device_at(device).physical()) + 1;
}

extern "C" const char* accel_simulator() {
  static const std::string* const text = new std::string(
      "CNRT simulator 0.1, posing as CNRT " + pose().release + " on " + pose().chip);
  return text->c_str();
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtGetDeviceCount(unsigned int* count) {
  return guarded(__func__, [&] {
    required(count, "pCount") = static_cast<unsigned int>(accel_sim::device_count());
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtSetDevice(int device) {
  return guarded(__func__, [&] { accel_sim::set_current_device(device); });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtGetDevice(int* device) {
  return guarded(__func__,
                 [&] { required(device, "pOrdinal") = accel_sim::current_device_index(); });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtSyncDevice() {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtSyncDevice");
    accel_sim::synchronize_device(accel_sim::current_device());
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtDeviceReset() {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtDeviceReset");
    accel_sim::reset_device(accel_sim::current_device(), kResetWaitMs, true);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtDeviceGetQueuePriorityRange(int* least, int* greatest) {
  return guarded(__func__, [&] {
    required(least, "pMinPriority") = kLeastPriority;
    required(greatest, "pMaxPriority") = kGreatestPriority;
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtGetPeerAccessibility(unsigned int* can, int device, int peer) {
  return guarded(__func__, [&] {
    accel_sim::device_at(device);
    accel_sim::device_at(peer);
    required(can, "canAccess") = device != peer ? 1 : 0;
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtDeviceGetPCIBusId(char* text, int room, int device) {
  return guarded(__func__, [&] {
    const unsigned bus = bus_of(device);
    if (room <= 0) throw Failure(Kind::invalid_argument, "len must be positive");
    std::snprintf(&required(text, "pciBusId"), static_cast<std::size_t>(room), "%04x:%02x:00.0", 0u,
                  bus);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtDeviceGetByPCIBusId(int* device, const char* text) {
  return guarded(__func__, [&] {
    int& out = required(device, "device");
    unsigned domain = 0;
    unsigned bus = 0;
    unsigned slot = 0;
    unsigned function = 0;
    if (std::sscanf(&required(text, "pciBusId"), "%x:%x:%x.%x", &domain, &bus, &slot, &function) <
        3) {
      domain = 0;
      if (std::sscanf(text, "%x:%x.%x", &bus, &slot, &function) != 3) {
        throw Failure(Kind::invalid_argument, std::string("'") + text + "' is no PCI address");
      }
    }
    for (int index = 0; index < accel_sim::device_count(); ++index) {
      if (domain == 0 && slot == 0 && function == 0 && bus_of(index) == bus) {
        out = index;
        return;
      }
    }
    throw Failure(Kind::invalid_device, std::string("no device at ") + text);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtGetLibVersion(int* major, int* minor, int* patch) {
  return guarded(__func__, [&] {
    required(major, "libMajor") = pose().major;
    required(minor, "libMinor") = pose().minor;
    required(patch, "libPatch") = pose().patch;
  });
}
