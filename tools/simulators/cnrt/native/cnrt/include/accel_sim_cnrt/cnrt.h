/* CNRT's C ABI as the simulator's libcnrt.so exports it, for the simulator's other libraries: the
   names and numbers of the vendor's releases 6.0 and 6.14, declared anew. Plain C. A library that has
   to work on both must not link what came with 6.14: posing as 6.0, it is not there. */
#ifndef ACCEL_SIM_CNRT_CNRT_H_
#define ACCEL_SIM_CNRT_CNRT_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int cnrtRet_t;
typedef void* cnrtQueue_t;     /* NULL: the default queue of the current device */
typedef void* cnrtNotifier_t;
typedef void* cnrtIpcMemHandle;

enum {
  cnrtSuccess = 0,
  cnrtErrorNotReady = 1,
  cnrtErrorInit = 100002,
  cnrtErrorNoDevice = 100004,
  cnrtErrorDeviceInvalid = 100005,
  cnrtErrorArgsInvalid = 100006,
  cnrtErrorSys = 100007,
  cnrtErrorSysNoMem = 100010,
  cnrtErrorInvalidResourceHandle = 100014,
  cnrtErrorNotSupport = 100050,
  cnrtErrorOpsNotPermitted = 100051,
  cnrtErrorQueue = 100060,
  cnrtErrorNoMem = 100100,
  cnrtErrorKernelTrap = 100132,
  cnrtErrorNotFound = 100301,
  cnrtErrorInvalidKernel = 100302,
  cnrtErrorNoKernel = 101312,
  cnrtErrorQueueCaptureUnsupported = 100360,
  cnrtErrorDevice = 632006,
  cnrtErrorNoAttribute = 632009,
  cnrtErrorMemcpyDirectionInvalid = 632013,
  cnrtErrorBusy = 632014,
  cnrtErrorCndrvFuncCall = 632015,
  cnrtErrorNoCnrtContext = 632019,
  cnrtErrorUnknown = 999991
};

typedef enum {
  cnrtMemcpyHostToDev = 0,
  cnrtMemcpyDevToDev = 1,
  cnrtMemcpyDevToHost = 2,
  cnrtMemcpyHostToHost = 3,
  cnrtMemcpyPeerToPeer = 4,
  cnrtMemcpyNoDirection = 5
} cnrtMemTransDir_t;

typedef enum {
  cnrtMemTypeUnregistered = 0,
  cnrtMemTypeHost = 1,
  cnrtMemTypeDevice = 2
} cnrtMemType_t;

typedef enum {
  cnrtFuncTypeBlock = 1,
  cnrtFuncTypeUnion1 = 4,
  cnrtFuncTypeUnion2 = 8,
  cnrtFuncTypeUnion4 = 16,
  cnrtFuncTypeUnion8 = 32,
  cnrtFuncTypeUnion16 = 64
} cnrtFunctionType_t;

enum {
  CNRT_NOTIFIER_DEFAULT = 0x0,
  CNRT_NOTIFIER_DISABLE_TIMING_SW = 0x2,
  CNRT_NOTIFIER_DISABLE_TIMING_ALL = 0x4,
  CNRT_NOTIFIER_INTERPROCESS = 0x8
};

#define cnrtQueuePerThread ((cnrtQueue_t)1) /* 6.14 */
#define cnrtQueueLegacy ((cnrtQueue_t)2)    /* 6.14 */

typedef struct {
  unsigned int x, y, z;
} cnrtDim3_t;

typedef struct {
  cnrtMemType_t type;
  int device;
  size_t size;
  void* devicePointer;
  void* hostPointer;
  int cacheMode;
  void* deviceBasePointer;
} cnrtPointerAttributes_t;

typedef struct {
  uint64_t res[8];
} cnrtIpcNotifierHandle; /* 6.14 */

/* Attributes of a device that the simulator answers; sizes in bytes unless they say otherwise. */
enum {
  cnrtAttrComputeCapabilityMajor = 0x01,
  cnrtAttrComputeCapabilityMinor = 0x02,
  cnrtAttrSparseComputingSupported = 0x03,
  cnrtAttrFP16ComputingSupported = 0x04,
  cnrtAttrINT4ComputingSupported = 0x05,
  cnrtAttrINT8ComputingSupported = 0x06,
  cnrtAttrBF16ComputingSupported = 0x07,
  cnrtAttrTF32ComputingSupported = 0x08,
  cnrtAttrComputeMode = 0x09,
  cnrtAttrQueueSize = 0x101,
  cnrtAttrNotifierSize = 0x102,
  cnrtAttrSupportQueuePriorities = 0x103,
  cnrtAttrMultiCtxNotifierWaitSupported = 0x109,
  cnrtAttrIPCNotifierSupported = 0x10a,
  cnrtAttrMaxDimX = 0x201,
  cnrtAttrMaxDimY = 0x202,
  cnrtAttrMaxDimZ = 0x203,
  cnrtAttrMaxClusterCountPerUnionTask = 0x204,
  cnrtAttrClusterCount = 0x205,
  cnrtAttrMcorePerCluster = 0x206,
  cnrtAttrISAVersion = 0x20a,
  cnrtAttrMaxL2CacheSize = 0x301,
  cnrtAttrNramSizePerMcore = 0x302,
  cnrtAttrWramSizePerMcore = 0x303,
  cnrtAttrSramSizePerMcore = 0x306,
  cnrtAttrGlobalMemoryNodeCount = 0x307,
  cnrtAttrAvailableGlobalMemorySize = 0x312, /* MiB */
  cnrtAttrEccEnable = 0x401,
  cnrtAttrTotalMemSize = 0x405, /* MiB */
  cnrtAttrPciBusID = 0x406,
  cnrtAttrPciDeviceID = 0x407,
  cnrtAttrPciDomainID = 0x408
};

/* What 6.0's cnrtGetDeviceProperties fills. */
typedef struct {
  char name[256];
} cnrtDeviceProp_60;

/* What 6.14's fills, under the name cnrtGetDeviceProperties_V3. */
typedef struct {
  char name[256];
  int totalMem; /* MiB */
  int maxDim[3];
  int ipuClockRate, memClockRate; /* kHz */
  int totalConstMem;
  int major, minor;
  int ECCEnabled;
  int pciBusID, pciDeviceID, pciDomainID;
  int maxL2CacheSize, persistingL2CacheMaxSize;
  int queuePrioritiesSupported;
  int sparseComputingSupported, FP16ComputingSupported, INT4ComputingSupported,
      INT8ComputingSupported, BF16ComputingSupported, TF32ComputingSupported;
  int maxQueueSize, maxNotifierSize;
  int tinyCoreSupported;
  int codecJPEGSupported, codecH264Supported, codecH265Supported;
  int maxClusterCountPerUnionTask;
  int clusterCount, McorePerCluster;
  int maxQuadrantCount, maxUnionTypePerQuadrant, maxClusterPerUnionLimitTask;
  int ISAVersion;
  int isMultipleTensorProcessor;
  int NramSizePerMcore, WramSizePerMcore, LmemSizePerMcore, SramSizePerMcore;
  int globalMemoryNodeCount;
  int cacheSize;
  int GmemBusWidth;
  int computeMode;
  int MDRMemorySize;
  int availableGlobalMemorySize; /* MiB */
  char uuid[16];
  uint64_t totalGlobalMemSize;
  int reserved[30];
} cnrtDeviceProp_614;

/* Devices */
cnrtRet_t cnrtGetDeviceCount(unsigned int* count);
cnrtRet_t cnrtSetDevice(int device);
cnrtRet_t cnrtGetDevice(int* device);
cnrtRet_t cnrtSyncDevice(void);
cnrtRet_t cnrtDeviceReset(void);
cnrtRet_t cnrtDeviceGetAttribute(int* value, int attribute, int device);
cnrtRet_t cnrtGetDeviceProperties(cnrtDeviceProp_60* properties, int device);
cnrtRet_t cnrtGetDeviceProperties_V3(cnrtDeviceProp_614* properties, int device); /* 6.14 */
cnrtRet_t cnrtDeviceGetQueuePriorityRange(int* least, int* greatest);
cnrtRet_t cnrtDeviceGetPCIBusId(char* text, int room, int device);
cnrtRet_t cnrtDeviceGetByPCIBusId(int* device, const char* text);
cnrtRet_t cnrtGetPeerAccessibility(unsigned int* can, int device, int peer);
cnrtRet_t cnrtGetLibVersion(int* major, int* minor, int* patch);

/* Memory */
cnrtRet_t cnrtMalloc(void** pointer, size_t bytes);
cnrtRet_t cnrtFree(void* pointer);
cnrtRet_t cnrtHostMalloc(void** pointer, size_t bytes);
cnrtRet_t cnrtFreeHost(void* pointer);
cnrtRet_t cnrtMemGetInfo(size_t* free, size_t* total);
cnrtRet_t cnrtPointerGetAttributes(cnrtPointerAttributes_t* attributes, const void* pointer);
cnrtRet_t cnrtAcquireMemHandle(cnrtIpcMemHandle* handle, void* pointer);
cnrtRet_t cnrtMapMemHandle(void** pointer, cnrtIpcMemHandle handle, int flags);
cnrtRet_t cnrtUnMapMemHandle(void* pointer);

/* Copies and fills. The queue comes before the direction, except in the 2-D form. */
cnrtRet_t cnrtMemcpy(void* target, void* source, size_t bytes, cnrtMemTransDir_t direction);
cnrtRet_t cnrtMemcpyAsync(void* target, void* source, size_t bytes, cnrtQueue_t queue,
                          cnrtMemTransDir_t direction);
cnrtRet_t cnrtMemcpyAsync_V2(void* target, void* source, size_t bytes, cnrtQueue_t queue,
                             cnrtMemTransDir_t direction); /* 6.14 */
cnrtRet_t cnrtMemcpyAsync_V3(void* target, void* source, size_t bytes, cnrtQueue_t queue,
                             cnrtMemTransDir_t direction); /* 6.14 */
cnrtRet_t cnrtMemcpy2D(void* target, size_t target_pitch, const void* source, size_t source_pitch,
                       size_t width, size_t height, cnrtMemTransDir_t direction); /* 6.14 */
cnrtRet_t cnrtMemcpy2DAsync(void* target, size_t target_pitch, const void* source,
                            size_t source_pitch, size_t width, size_t height,
                            cnrtMemTransDir_t direction, cnrtQueue_t queue); /* 6.14 */
cnrtRet_t cnrtMemcpyPeer(void* target, int target_device, void* source, int source_device,
                         size_t bytes);
cnrtRet_t cnrtMemcpyPeerAsync(void* target, int target_device, void* source, int source_device,
                              size_t bytes, cnrtQueue_t queue);
cnrtRet_t cnrtMemset(void* pointer, int value, size_t bytes);
cnrtRet_t cnrtMemsetAsync(void* pointer, int value, size_t bytes, cnrtQueue_t queue);

/* Queues and host functions. A lower priority number goes first. */
cnrtRet_t cnrtQueueCreate(cnrtQueue_t* queue);
cnrtRet_t cnrtQueueCreateWithPriority(cnrtQueue_t* queue, unsigned int flags, int priority);
cnrtRet_t cnrtQueueDestroy(cnrtQueue_t queue);
cnrtRet_t cnrtQueueQuery(cnrtQueue_t queue);
cnrtRet_t cnrtQueueSync(cnrtQueue_t queue);
cnrtRet_t cnrtQueueGetPriority(cnrtQueue_t queue, int* priority);
cnrtRet_t cnrtQueueWaitNotifier(cnrtNotifier_t notifier, cnrtQueue_t queue, unsigned int flags);
cnrtRet_t cnrtInvokeHostFunc(cnrtQueue_t queue, void (*function)(void*), void* argument);

/* Notifiers */
cnrtRet_t cnrtNotifierCreate(cnrtNotifier_t* notifier);
cnrtRet_t cnrtNotifierCreateWithFlags(cnrtNotifier_t* notifier, unsigned int flags);
cnrtRet_t cnrtNotifierDestroy(cnrtNotifier_t notifier);
cnrtRet_t cnrtPlaceNotifier(cnrtNotifier_t notifier, cnrtQueue_t queue);
cnrtRet_t cnrtPlaceNotifierWithFlags(cnrtNotifier_t notifier, cnrtQueue_t queue,
                                     unsigned int flags); /* 6.14 */
cnrtRet_t cnrtQueryNotifier(cnrtNotifier_t notifier);
cnrtRet_t cnrtWaitNotifier(cnrtNotifier_t notifier);
cnrtRet_t cnrtNotifierElapsedTime(cnrtNotifier_t start, cnrtNotifier_t end, float* ms);
cnrtRet_t cnrtNotifierDuration(cnrtNotifier_t start, cnrtNotifier_t end, float* us);
cnrtRet_t cnrtIpcGetNotifierHandle(cnrtIpcNotifierHandle* handle, cnrtNotifier_t notifier); /* 6.14 */
cnrtRet_t cnrtIpcOpenNotifierHandle(cnrtNotifier_t* notifier, cnrtIpcNotifierHandle handle);

/* Kernels: functions of host shared objects that the stand-in for BANG C made. */
cnrtRet_t cnrtInvokeKernel(const void* kernel, cnrtDim3_t dim, cnrtFunctionType_t type,
                           void** arguments, size_t reserved, cnrtQueue_t queue);

/* Errors of the calling thread */
cnrtRet_t cnrtGetLastError(void);
cnrtRet_t cnrtPeekAtLastError(void);
const char* cnrtGetErrorStr(cnrtRet_t code);
const char* cnrtGetErrorName(cnrtRet_t code);

#ifdef __cplusplus
}
#endif

#endif
