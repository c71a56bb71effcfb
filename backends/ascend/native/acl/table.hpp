// ACL: one struct of function pointers, found by name when the library is opened.
//
//   AclLibrary::open({"libascendcl.so"}, ...);         // once; an error says what is missing
//   ACCEL_ACL_CALL(record_event, event, stream);       // throws RuntimeFault when it fails
//   if (acl().memcpy_batch_async != nullptr) ...       // what older CANN lacks
#pragma once

#include <accel/torch_device/entry_table.hpp>

#include <string>

#include "types.hpp"

namespace accel_ascend {

// X(member, (argument types), ACL's name)
#define ACCEL_ACL_REQUIRED_ENTRIES(X)                                                            \
  X(get_device_count, (std::uint32_t*), "aclrtGetDeviceCount")                                   \
  X(set_device, (std::int32_t), "aclrtSetDevice")                                                \
  X(get_device, (std::int32_t*), "aclrtGetDevice")                                               \
  X(malloc_host, (void**, std::size_t), "aclrtMallocHost")                                       \
  X(free_host, (void*), "aclrtFreeHost")                                                         \
  X(memcpy_async, (void*, std::size_t, const void*, std::size_t, int, StreamHandle),             \
    "aclrtMemcpyAsync")                                                                          \
  X(memset_async, (void*, std::size_t, std::int32_t, std::size_t, StreamHandle),                 \
    "aclrtMemsetAsync")                                                                          \
  X(synchronize_stream, (StreamHandle), "aclrtSynchronizeStream")                                \
  X(record_event, (EventHandle, StreamHandle), "aclrtRecordEvent")                               \
  X(stream_wait_event, (StreamHandle, EventHandle), "aclrtStreamWaitEvent")                      \
  X(query_event_status, (EventHandle, int*), "aclrtQueryEventStatus")                            \
  X(destroy_event, (EventHandle), "aclrtDestroyEvent")

// What a version of CANN may lack; a caller asks first.
#define ACCEL_ACL_OPTIONAL_ENTRIES(X)                                                            \
  X(create_event_ex, (EventHandle*, std::uint32_t), "aclrtCreateEventExWithFlag")                \
  X(create_event, (EventHandle*, std::uint32_t), "aclrtCreateEventWithFlag")                     \
  X(stream_query, (StreamHandle, int*), "aclrtStreamQuery")                                      \
  X(memcpy_2d_async,                                                                             \
    (void*, std::size_t, const void*, std::size_t, std::size_t, std::size_t, int, StreamHandle), \
    "aclrtMemcpy2dAsync")                                                                        \
  X(memcpy_batch_async,                                                                          \
    (void**, std::size_t*, void**, std::size_t*, std::size_t, BatchAttributes*, std::size_t*,    \
     std::size_t, std::size_t*, StreamHandle),                                                   \
    "aclrtMemcpyBatchAsync")                                                                     \
  X(host_register, (void*, std::uint64_t, int, void**), "aclrtHostRegister")                     \
  X(host_register_v2, (void*, std::uint64_t, std::uint32_t), "aclrtHostRegisterV2")              \
  X(host_unregister, (void*), "aclrtHostUnregister")                                             \
  X(pointer_attributes, (const void*, PointerAttributes*), "aclrtPointerGetAttributes")          \
  X(launch_host_func, (StreamHandle, HostFunction, void*), "aclrtLaunchHostFunc")                \
  X(launch_callback, (HostFunction, void*, int, StreamHandle), "aclrtLaunchCallback")            \
  X(subscribe_report, (std::uint64_t, StreamHandle), "aclrtSubscribeReport")                     \
  X(unsubscribe_report, (std::uint64_t, StreamHandle), "aclrtUnSubscribeReport")                 \
  X(process_report, (std::int32_t), "aclrtProcessReport")                                        \
  X(can_access_peer, (std::int32_t*, std::int32_t, std::int32_t), "aclrtDeviceCanAccessPeer")    \
  X(enable_peer_access, (std::int32_t, std::uint32_t), "aclrtDeviceEnablePeerAccess")            \
  X(ipc_get_event, (EventHandle, void*), "aclrtIpcGetEventHandle")                               \
  X(binary_load, (const char*, void*, void**), "aclrtBinaryLoadFromFile")                        \
  X(binary_function, (void*, const char*, void**), "aclrtBinaryGetFunction")                     \
  X(args_init, (void*, void**), "aclrtKernelArgsInit")                                           \
  X(args_place_holder, (void*, void**), "aclrtKernelArgsAppendPlaceHolder")                      \
  X(args_buffer, (void*, void*, std::size_t, void**), "aclrtKernelArgsGetPlaceHolderBuffer")     \
  X(args_finalize, (void*), "aclrtKernelArgsFinalize")                                           \
  X(launch_kernel, (void*, std::uint32_t, StreamHandle, void*, void*, void*),                    \
    "aclrtLaunchKernelWithConfig")                                                               \
  X(device_info, (std::uint32_t, int, std::int64_t*), "aclrtGetDeviceInfo")                      \
  X(cann_version, (int, PackageVersion*), "aclsysGetCANNVersion")                                \
  X(runtime_version, (std::int32_t*, std::int32_t*, std::int32_t*), "aclrtGetVersion")

// Found in the same way; they return something else than a Result.
#define ACCEL_ACL_TEXT_ENTRIES(X)                                                                \
  X(recent_error, (), "aclGetRecentErrMsg")                                                      \
  X(soc_name, (), "aclrtGetSocName")                                                             \
  X(simulator, (), "accel_simulator")

ACCEL_ENTRY_TABLE(Acl, ACCEL_ACL_REQUIRED_ENTRIES, ACCEL_ACL_OPTIONAL_ENTRIES,
                  ACCEL_ACL_TEXT_ENTRIES)

using AclLibrary = accel::OpenedLibrary<Acl>;
inline const Acl& acl() { return AclLibrary::table(); }

// "8.3.RC1"; empty when it does not say.
std::string cann_version();

}  // namespace accel_ascend
