// The types and constants of CNRT's C interface that are used here, by their meaning.
#pragma once

#include <accel/torch_device/runtime.hpp>

#include <cstddef>
#include <cstdint>

namespace accel_mlu {

using accel::EventHandle;
using accel::HostFunction;
using accel::StreamHandle;
using Result = int;

constexpr Result kSuccess = 0;
// "Not done yet": the headers say Busy, and libraries give NotReady.
constexpr Result kNotReady = 1;
constexpr Result kBusy = 632014;
constexpr Result kSystem = 100007;
constexpr Result kNoHostMemory = 100010;
constexpr Result kNotSupported = 100050;
constexpr Result kQueueFailed = 100060;
constexpr Result kNoMemory = 100100;
constexpr Result kKernelTrap = 100132;
constexpr Result kNoContext = 632019;

enum Direction : int {
  kHostToDevice = 0,
  kDeviceToDevice = 1,
  kDeviceToHost = 2,
  kHostToHost = 3,
  kPeerToPeer = 4
};

enum MemoryType : int { kUnregistered = 0, kHost = 1, kDevice = 2 };

// What cnrtPointerGetAttributes fills in begins so; releases differ in what follows.
struct PointerAttributes {
  int type;
  int device;
  std::uint64_t beyond[16];
};

constexpr unsigned kNotifierWithoutTiming = 4;  // also in software

}  // namespace accel_mlu
