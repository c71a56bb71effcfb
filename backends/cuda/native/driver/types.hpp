// The driver's types and constants, declared here so that no vendor's header is needed to build.
//
// Handles are pointers to incomplete types. Values are those of the CUDA driver API; HIP's are the
// same wherever one name is used for both.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accel_cuda {

using Result = int;
using DeviceOrdinal = int;
using DevicePointer = std::uint64_t;

using ContextHandle = struct ContextTag*;
using StreamHandle = struct StreamTag*;
using EventHandle = struct EventTag*;
using ModuleHandle = struct ModuleTag*;
using Function = struct FunctionTag*;
using GraphHandle = struct GraphTag*;
using GraphExecHandle = struct GraphExecTag*;
using GraphNodeHandle = struct GraphNodeTag*;
using UserObjectHandle = struct UserObjectTag*;

using HostFunction = void (*)(void*);

struct IpcEventHandle {
  char bytes[64];
};
struct IpcMemHandle {
  char bytes[64];
};
struct DeviceUuid {
  char bytes[16];
};

// CUDA_MEMCPY2D and hip_Memcpy2D.
struct Memcpy2D {
  std::size_t src_x, src_y;
  unsigned src_type;
  const void* src_host;
  DevicePointer src_device;
  void* src_array;
  std::size_t src_pitch;
  std::size_t dst_x, dst_y;
  unsigned dst_type;
  void* dst_host;
  DevicePointer dst_device;
  void* dst_array;
  std::size_t dst_pitch;
  std::size_t width, height;
};

// CUmemcpyAttributes and what it holds.
struct MemLocation {
  unsigned type;  // 0 not given, 1 device, 2 host
  int id;
};
struct MemcpyAttributes {
  unsigned source_access_order;  // 1 stream order, 2 during the call, 3 any
  MemLocation source_hint;
  MemLocation destination_hint;
  unsigned flags;
};

// CUlaunchAttribute and CUlaunchConfig.
struct LaunchAttribute {
  int id;
  int unused;
  unsigned value[16];
};
struct LaunchConfig {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  StreamHandle stream;
  LaunchAttribute* attributes;
  unsigned count;
};

constexpr Result kSuccess = 0;
constexpr Result kInvalidValue = 1;
constexpr Result kOutOfMemory = 2;
constexpr Result kNotInitialized = 3;
constexpr Result kDeinitialized = 4;
constexpr Result kInvalidContext = 201;
constexpr Result kInvalidHandle = 400;
constexpr Result kNotReady = 600;
constexpr Result kPeerAlreadyEnabled = 704;
constexpr Result kHostMemoryAlreadyRegistered = 712;
constexpr Result kHostMemoryNotRegistered = 713;
constexpr Result kNotSupported = 801;
constexpr Result kCaptureUnsupported = 900;
constexpr Result kCaptureInvalidated = 901;
constexpr Result kCaptureImplicit = 906;
constexpr Result kCapturedEvent = 907;

constexpr unsigned kStreamNonBlocking = 1;
constexpr unsigned kEventDisableTiming = 2;
constexpr unsigned kEventInterprocess = 4;
constexpr unsigned kHostPortable = 1;
constexpr unsigned kHostMapped = 2;
constexpr unsigned kHostWriteCombined = 4;
constexpr unsigned kWaitValueGeq = 0;
constexpr int kCaptureModeRelaxed = 2;
constexpr int kCaptureNone = 0;
constexpr int kCaptureActive = 1;
constexpr unsigned kUserObjectNoDestructorSync = 1;
constexpr unsigned kGraphUserObjectMove = 1;

constexpr unsigned kMemoryHost = 1;
constexpr unsigned kMemoryDevice = 2;
constexpr unsigned kMemoryUnified = 4;

constexpr int kPointerContext = 1;
constexpr int kPointerMemoryType = 2;
constexpr int kPointerDevicePointer = 3;
constexpr int kPointerHostPointer = 4;
constexpr int kPointerIsManaged = 8;
constexpr int kPointerDeviceOrdinal = 9;

// Of CUDA's device attributes; HIP numbers its own differently.
constexpr int kAttributeMaxThreadsPerBlock = 1;
constexpr int kAttributeMaxSharedPerBlock = 8;
constexpr int kAttributeWarpSize = 10;
constexpr int kAttributeMultiprocessors = 16;
constexpr int kAttributeL2Bytes = 38;
constexpr int kAttributeMaxThreadsPerMultiprocessor = 39;
constexpr int kAttributeCopyEngines = 40;
constexpr int kAttributeMajor = 75;
constexpr int kAttributeMinor = 76;
constexpr int kAttributeMaxSharedPerMultiprocessor = 81;
constexpr int kAttributeMaxSharedPerBlockOptIn = 97;
constexpr int kAttributeHostRegisterSupported = 99;
constexpr int kAttributePageableAccess = 88;
constexpr int kAttributeHostNumaId = 134;

constexpr int kFunctionMaxDynamicShared = 8;
constexpr int kFunctionClusterNotPortable = 14;
constexpr int kLaunchClusterDimension = 4;
constexpr unsigned kPortableCluster = 8;

}  // namespace accel_cuda
