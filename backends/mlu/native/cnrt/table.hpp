// CNRT: one struct of function pointers, found by name when the library is opened.
//
//   CnrtLibrary::open({"libcnrt.so"}, ...);       // once; an error says what is missing
//   ACCEL_CNRT_CALL(queue_sync, queue);           // throws RuntimeFault when it fails
//   if (cnrt().memcpy_2d_async != nullptr) ...    // what CNRT 6.0 lacks
#pragma once

#include <accel/torch_device/entry_table.hpp>

#include "types.hpp"

namespace accel_mlu {

// X(member, (argument types), CNRT's name). The queue comes before the direction, except in rows.
#define ACCEL_CNRT_REQUIRED(X)                                                               \
  X(get_device_count, (unsigned*), "cnrtGetDeviceCount")                                     \
  X(set_device, (int), "cnrtSetDevice")                                                      \
  X(get_device, (int*), "cnrtGetDevice")                                                     \
  X(host_malloc, (void**, std::size_t), "cnrtHostMalloc")                                    \
  X(free_host, (void*), "cnrtFreeHost")                                                      \
  X(memcpy_async, (void*, void*, std::size_t, StreamHandle, int), "cnrtMemcpyAsync")         \
  X(memset_async, (void*, int, std::size_t, StreamHandle), "cnrtMemsetAsync")                \
  X(queue_sync, (StreamHandle), "cnrtQueueSync")                                             \
  X(notifier_create, (EventHandle*), "cnrtNotifierCreate")                                   \
  X(place_notifier, (EventHandle, StreamHandle), "cnrtPlaceNotifier")                        \
  X(query_notifier, (EventHandle), "cnrtQueryNotifier")

// What a release may lack; a caller asks first.
#define ACCEL_CNRT_OPTIONAL(X)                                                               \
  X(memcpy_async_v2, (void*, void*, std::size_t, StreamHandle, int), "cnrtMemcpyAsync_V2")   \
  X(memcpy_async_v3, (void*, void*, std::size_t, StreamHandle, int), "cnrtMemcpyAsync_V3")   \
  X(memcpy_2d_async,                                                                         \
    (void*, std::size_t, const void*, std::size_t, std::size_t, std::size_t, int,            \
     StreamHandle),                                                                          \
    "cnrtMemcpy2DAsync")                                                                     \
  X(memcpy_peer_async, (void*, int, void*, int, std::size_t, StreamHandle),                  \
    "cnrtMemcpyPeerAsync")                                                                   \
  X(peer_accessibility, (unsigned*, int, int), "cnrtGetPeerAccessibility")                   \
  X(invoke_host_func, (StreamHandle, HostFunction, void*), "cnrtInvokeHostFunc")             \
  X(pointer_attributes, (PointerAttributes*, const void*), "cnrtPointerGetAttributes")       \
  X(notifier_create_with_flags, (EventHandle*, unsigned), "cnrtNotifierCreateWithFlags")     \
  X(priority_range, (int*, int*), "cnrtDeviceGetQueuePriorityRange")                         \
  X(queue_create, (StreamHandle*, unsigned, int), "cnrtQueueCreateWithPriority")             \
  X(queue_priority, (StreamHandle, int*), "cnrtQueueGetPriority")                            \
  X(device_attribute, (int*, int, int), "cnrtDeviceGetAttribute")                             \
  X(ipc_notifier, (void*, EventHandle), "cnrtIpcGetNotifierHandle")                          \
  X(lib_version, (int*, int*, int*), "cnrtGetLibVersion")

// Found in the same way; they give text.
#define ACCEL_CNRT_TEXT(X)                    \
  X(error_text, (int), "cnrtGetErrorStr")     \
  X(simulator, (), "accel_simulator")

ACCEL_ENTRY_TABLE(Cnrt, ACCEL_CNRT_REQUIRED, ACCEL_CNRT_OPTIONAL, ACCEL_CNRT_TEXT)

using CnrtLibrary = accel::OpenedLibrary<Cnrt>;
inline const Cnrt& cnrt() { return CnrtLibrary::table(); }

}  // namespace accel_mlu
