// The types and constants of CANN's C interface that are used here, by their meaning.
#pragma once

#include <accel/torch_device/runtime.hpp>

#include <cstddef>
#include <cstdint>

namespace accel_ascend {

using Result = int;
using accel::EventHandle;
using accel::HostFunction;
using accel::StreamHandle;

constexpr Result kSuccess = 0;
constexpr Result kInvalidParameter = 107000;
constexpr Result kNoContext = 107002;  // no device was set on this thread
constexpr Result kNotSupported = 207000;
constexpr Result kOutOfMemory = 207001;
constexpr Result kDeviceOutOfMemory = 207018;
constexpr Result kAllocationFailed = 200000;
constexpr Result kApiNotSupported = 200001;

enum CopyKind : int { kHostToHost = 0, kHostToDevice = 1, kDeviceToHost = 2, kDeviceToDevice = 3 };

constexpr std::uint32_t kEventSync = 1;
constexpr int kRecordComplete = 1;  // of an event's recorded status; 0 is not ready

constexpr int kCallbackBlocks = 1;  // of aclrtLaunchCallback: the stream waits for the callback

constexpr int kRegisterMapped = 0;                        // of aclrtHostRegister
constexpr std::uint32_t kRegisterPinned = 0x10000000;     // of aclrtHostRegisterV2
constexpr std::uint32_t kRegisterMappedFlag = 0x2;        // the same

enum LocationType : int { kLocationHost = 0, kLocationDevice = 1, kLocationUnregistered = 2 };

struct Location {
  std::uint32_t id;
  int type;
};

struct PointerAttributes {
  Location location;
  std::uint32_t page_size;
  std::uint32_t unused[4];
  std::uint32_t beyond[16];  // room for what newer versions may add
};

struct BatchAttributes {
  Location dst, src;
  std::uint8_t unused[16];
};

struct PackageVersion {
  char version[128];
  char rest[896];
};

}  // namespace accel_ascend
