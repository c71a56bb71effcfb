// The driver: one struct of function pointers, found by name when it is opened.
//
//   open_driver(Vendor::Cuda, "");                     // once; an error says what is missing
//   ACCEL_CUDA_CALL(event_record, event, stream);      // throws DriverFault when it fails
//   const Result result = driver().event_query(event); // or look at the result
//
// An entry is named once, below, with its name in libcuda.so.1 (taking the _v2 names, which are
// what cuda.h means) and in libamdhip64.so; nullptr where the one or the other has none.
#pragma once

#include <string>

#include "types.hpp"

namespace accel_cuda {

// X(member, (argument types), CUDA name, HIP name)
#define ACCEL_CUDA_REQUIRED_ENTRIES(X)                                                             \
  X(init, (unsigned), "cuInit", "hipInit")                                                         \
  X(driver_version, (int*), "cuDriverGetVersion", "hipDriverGetVersion")                           \
  X(error_name, (Result, const char**), "cuGetErrorName", "hipDrvGetErrorName")                    \
  X(error_string, (Result, const char**), "cuGetErrorString", "hipDrvGetErrorString")              \
  X(device_count, (int*), "cuDeviceGetCount", "hipGetDeviceCount")                                 \
  X(device_get, (DeviceOrdinal*, int), "cuDeviceGet", "hipDeviceGet")                              \
  X(device_name, (char*, int, DeviceOrdinal), "cuDeviceGetName", "hipDeviceGetName")               \
  X(device_pci_bus_id, (char*, int, DeviceOrdinal), "cuDeviceGetPCIBusId",                         \
    "hipDeviceGetPCIBusId")                                                                        \
  X(context_retain, (ContextHandle*, DeviceOrdinal), "cuDevicePrimaryCtxRetain",                   \
    "hipDevicePrimaryCtxRetain")                                                                   \
  X(context_get_current, (ContextHandle*), "cuCtxGetCurrent", "hipCtxGetCurrent")                  \
  X(context_set_current, (ContextHandle), "cuCtxSetCurrent", "hipCtxSetCurrent")                   \
  X(stream_priority_range, (int*, int*), "cuCtxGetStreamPriorityRange",                            \
    "hipDeviceGetStreamPriorityRange")                                                             \
  X(stream_create, (StreamHandle*, unsigned, int), "cuStreamCreateWithPriority",                   \
    "hipStreamCreateWithPriority")                                                                 \
  X(stream_destroy, (StreamHandle), "cuStreamDestroy_v2", "hipStreamDestroy")                      \
  X(stream_priority, (StreamHandle, int*), "cuStreamGetPriority", "hipStreamGetPriority")          \
  X(stream_query, (StreamHandle), "cuStreamQuery", "hipStreamQuery")                               \
  X(stream_synchronize, (StreamHandle), "cuStreamSynchronize", "hipStreamSynchronize")             \
  X(stream_wait_event, (StreamHandle, EventHandle, unsigned), "cuStreamWaitEvent",                 \
    "hipStreamWaitEvent")                                                                          \
  X(launch_host_function, (StreamHandle, HostFunction, void*), "cuLaunchHostFunc",                 \
    "hipLaunchHostFunc")                                                                           \
  X(event_create, (EventHandle*, unsigned), "cuEventCreate", "hipEventCreateWithFlags")            \
  X(event_destroy, (EventHandle), "cuEventDestroy_v2", "hipEventDestroy")                          \
  X(event_record, (EventHandle, StreamHandle), "cuEventRecord", "hipEventRecord")                  \
  X(event_query, (EventHandle), "cuEventQuery", "hipEventQuery")                                   \
  X(event_synchronize, (EventHandle), "cuEventSynchronize", "hipEventSynchronize")                 \
  X(event_elapsed_time, (float*, EventHandle, EventHandle), "cuEventElapsedTime",                  \
    "hipEventElapsedTime")                                                                         \
  X(module_load, (ModuleHandle*, const void*), "cuModuleLoadData", "hipModuleLoadData")            \
  X(module_function, (Function*, ModuleHandle, const char*), "cuModuleGetFunction",                \
    "hipModuleGetFunction")                                                                        \
  X(launch_kernel,                                                                                 \
    (Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, StreamHandle, \
     void**, void**),                                                                              \
    "cuLaunchKernel", "hipModuleLaunchKernel")                                                     \
  X(host_allocate, (void**, std::size_t, unsigned), "cuMemHostAlloc", "hipHostMalloc")             \
  X(host_free, (void*), "cuMemFreeHost", "hipHostFree")                                            \
  X(host_register, (void*, std::size_t, unsigned), "cuMemHostRegister_v2", "hipHostRegister")      \
  X(host_unregister, (void*), "cuMemHostUnregister", "hipHostUnregister")                          \
  X(host_device_pointer, (DevicePointer*, void*, unsigned), "cuMemHostGetDevicePointer_v2",        \
    "hipHostGetDevicePointer")                                                                     \
  X(memory_info, (std::size_t*, std::size_t*), "cuMemGetInfo_v2", "hipMemGetInfo")                 \
  X(memory_allocate, (DevicePointer*, std::size_t), "cuMemAlloc_v2", "hipMalloc")                  \
  X(memory_free, (DevicePointer), "cuMemFree_v2", "hipFree")                                       \
  X(memset_8_async, (DevicePointer, unsigned char, std::size_t, StreamHandle),                     \
    "cuMemsetD8Async", "hipMemsetD8Async")                                                         \
  X(memcpy_to_device_async, (DevicePointer, const void*, std::size_t, StreamHandle),               \
    "cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync")                                                  \
  X(memcpy_to_host_async, (void*, DevicePointer, std::size_t, StreamHandle),                       \
    "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync")                                                  \
  X(memcpy_on_device_async, (DevicePointer, DevicePointer, std::size_t, StreamHandle),             \
    "cuMemcpyDtoDAsync_v2", "hipMemcpyDtoDAsync")                                                  \
  X(memcpy_2d_async, (const Memcpy2D*, StreamHandle), "cuMemcpy2DAsync_v2",                        \
    "hipMemcpyParam2DAsync")                                                                       \
  X(pointer_attribute, (void*, int, DevicePointer), "cuPointerGetAttribute",                       \
    "hipPointerGetAttribute")

// What a driver may lack; a caller asks first.
#define ACCEL_CUDA_OPTIONAL_ENTRIES(X)                                                             \
  X(device_attribute, (int*, int, DeviceOrdinal), "cuDeviceGetAttribute", nullptr)                 \
  X(device_uuid, (DeviceUuid*, DeviceOrdinal), "cuDeviceGetUuid", "hipDeviceGetUuid")              \
  X(context_release, (DeviceOrdinal), "cuDevicePrimaryCtxRelease_v2",                              \
    "hipDevicePrimaryCtxRelease")                                                                  \
  X(context_synchronize, (), "cuCtxSynchronize", "hipDeviceSynchronize")                           \
  X(stream_context, (StreamHandle, ContextHandle*), "cuStreamGetCtx", nullptr)                     \
  X(stream_wait_value, (StreamHandle, DevicePointer, std::uint32_t, unsigned),                     \
    "cuStreamWaitValue32_v2", nullptr)                                                             \
  X(stream_is_capturing, (StreamHandle, int*), "cuStreamIsCapturing", "hipStreamIsCapturing")      \
  X(stream_begin_capture, (StreamHandle, int), "cuStreamBeginCapture_v2", "hipStreamBeginCapture") \
  X(stream_end_capture, (StreamHandle, GraphHandle*), "cuStreamEndCapture",                        \
    "hipStreamEndCapture")                                                                         \
  X(stream_capture_info,                                                                           \
    (StreamHandle, int*, std::uint64_t*, GraphHandle*, const GraphNodeHandle**, std::size_t*),     \
    "cuStreamGetCaptureInfo_v2", "hipStreamGetCaptureInfo_v2")                                     \
  X(thread_capture_mode, (int*), "cuThreadExchangeStreamCaptureMode",                              \
    "hipThreadExchangeStreamCaptureMode")                                                          \
  X(graph_instantiate, (GraphExecHandle*, GraphHandle, unsigned long long),                        \
    "cuGraphInstantiateWithFlags", "hipGraphInstantiateWithFlags")                                 \
  X(graph_upload, (GraphExecHandle, StreamHandle), "cuGraphUpload", "hipGraphUpload")              \
  X(graph_launch, (GraphExecHandle, StreamHandle), "cuGraphLaunch", "hipGraphLaunch")              \
  X(graph_nodes, (GraphHandle, GraphNodeHandle*, std::size_t*), "cuGraphGetNodes",                 \
    "hipGraphGetNodes")                                                                            \
  X(graph_exec_destroy, (GraphExecHandle), "cuGraphExecDestroy", "hipGraphExecDestroy")            \
  X(graph_destroy, (GraphHandle), "cuGraphDestroy", "hipGraphDestroy")                             \
  X(user_object_create, (UserObjectHandle*, void*, HostFunction, unsigned, unsigned),              \
    "cuUserObjectCreate", "hipUserObjectCreate")                                                   \
  X(user_object_release, (UserObjectHandle, unsigned), "cuUserObjectRelease",                      \
    "hipUserObjectRelease")                                                                        \
  X(graph_retain_user_object, (GraphHandle, UserObjectHandle, unsigned, unsigned),                 \
    "cuGraphRetainUserObject", "hipGraphRetainUserObject")                                         \
  X(ipc_get_event, (IpcEventHandle*, EventHandle), "cuIpcGetEventHandle", "hipIpcGetEventHandle")  \
  X(ipc_open_event, (EventHandle*, IpcEventHandle), "cuIpcOpenEventHandle",                        \
    "hipIpcOpenEventHandle")                                                                       \
  X(function_load, (Function), "cuFuncLoad", nullptr)                                              \
  X(function_set_attribute, (Function, int, int), "cuFuncSetAttribute", nullptr)                   \
  X(occupancy_blocks, (int*, Function, int, std::size_t),                                          \
    "cuOccupancyMaxActiveBlocksPerMultiprocessor",                                                 \
    "hipModuleOccupancyMaxActiveBlocksPerMultiprocessor")                                          \
  X(occupancy_clusters, (int*, Function, const LaunchConfig*), "cuOccupancyMaxActiveClusters",     \
    nullptr)                                                                                       \
  X(launch_kernel_ex, (const LaunchConfig*, Function, void**, void**), "cuLaunchKernelEx",         \
    nullptr)                                                                                       \
  X(module_unload, (ModuleHandle), "cuModuleUnload", "hipModuleUnload")                            \
  X(can_access_peer, (int*, DeviceOrdinal, DeviceOrdinal), "cuDeviceCanAccessPeer",                \
    "hipDeviceCanAccessPeer")                                                                      \
  X(enable_peer_access, (ContextHandle, unsigned), "cuCtxEnablePeerAccess", nullptr)               \
  X(memcpy_peer_async,                                                                             \
    (DevicePointer, ContextHandle, DevicePointer, ContextHandle, std::size_t, StreamHandle),       \
    "cuMemcpyPeerAsync", nullptr)                                                                  \
  X(memcpy_async, (DevicePointer, DevicePointer, std::size_t, StreamHandle), "cuMemcpyAsync",      \
    nullptr)                                                                                       \
  X(memcpy_kind_async, (void*, const void*, std::size_t, int, StreamHandle), nullptr,              \
    "hipMemcpyAsync")                                                                              \
  X(memcpy_batch_async,                                                                            \
    (DevicePointer*, DevicePointer*, std::size_t*, std::size_t, MemcpyAttributes*, std::size_t*,   \
     std::size_t, std::size_t*, StreamHandle),                                                     \
    "cuMemcpyBatchAsync", nullptr)                                                                 \
  X(pointer_attributes, (unsigned, const int*, void**, DevicePointer), "cuPointerGetAttributes",   \
    "hipDrvPointerGetAttributes")

enum class Vendor { Cuda, Hip };

enum class Entry {
#define ACCEL_CUDA_NAME(member, arguments, cuda, hip) member,
  ACCEL_CUDA_REQUIRED_ENTRIES(ACCEL_CUDA_NAME) ACCEL_CUDA_OPTIONAL_ENTRIES(ACCEL_CUDA_NAME)
#undef ACCEL_CUDA_NAME
};

struct Driver {
#define ACCEL_CUDA_MEMBER(member, arguments, cuda, hip) Result(*member) arguments = nullptr;
  ACCEL_CUDA_REQUIRED_ENTRIES(ACCEL_CUDA_MEMBER) ACCEL_CUDA_OPTIONAL_ENTRIES(ACCEL_CUDA_MEMBER)
#undef ACCEL_CUDA_MEMBER

  Vendor vendor = Vendor::Cuda;
  std::string library;  // as it was opened
  int version = 0;      // as the driver says: 13000 is CUDA 13.0
};

// Opens the driver and initialises it; later calls do nothing, or throw DriverMissing when they ask
// for another one. `path` is the library to open, the vendor's own when empty.
void open_driver(Vendor vendor, const std::string& path);

bool driver_is_open() noexcept;

// The driver that was opened.
namespace detail {
extern Driver the_driver;
}
inline const Driver& driver() { return detail::the_driver; }

// The name that the vendor's library has for an entry.
const char* entry_name(Entry entry);

}  // namespace accel_cuda
