/* CNCL's C ABI as the simulator's libcncl.so exports it, for the simulator's other libraries: the
   names and numbers of the vendor's release 1.25, declared anew. Plain C. */
#ifndef ACCEL_SIM_CNCL_CNCL_H_
#define ACCEL_SIM_CNCL_CNCL_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void* cnclComm_t;
typedef void* cnrtQueue_t;

typedef enum {
  CNCL_RET_SUCCESS = 0x00,
  CNCL_RET_ERR_INTERNAL = 0x01,
  CNCL_RET_ERR_SYSTEM = 0x02,
  CNCL_RET_ERR_MLU_RUNTIME = 0x03,
  CNCL_RET_ASYNC_IN_PROGRESS = 0x06,
  CNCL_RET_ERR_ARGUMENTS = 0x07,
  CNCL_RET_ERR_UNSUPPORTED = 0x11,
  CNCL_RET_ASYNC_ERROR = 0x16,
  CNCL_RET_ERR_NULL_POINTER = 0x21,
  CNCL_RET_ERR_SYS_SOCKET = 0x22,
  CNCL_RET_ERR_CNRT_MALLOC = 0x33,
  CNCL_RET_ERR_INIT = 0x51,
  CNCL_RET_ERR_NOT_INIT = 0x61
} cnclResult_t;

/* There is no 64-bit float: a program that passes one as cnclFloat32 sends half of its bytes. */
typedef enum {
  cnclFloat16 = 0x10,
  cnclBfloat16 = 0x11,
  cnclFloat32 = 0x12,
  cnclInt8 = 0x20,
  cnclInt16 = 0x21,
  cnclInt32 = 0x22,
  cnclInt64 = 0x23,
  cnclUint8 = 0x30,
  cnclUint16 = 0x31,
  cnclUint32 = 0x32,
  cnclUint64 = 0x33
} cnclDataType_t;

/* There is no average. */
typedef enum { cnclSum = 0, cnclProd = 1, cnclMax = 2, cnclMin = 3 } cnclReduceOp_t;

typedef enum {
  CNCL_PRIORITY_DEFAULT = 0x00,
  CNCL_PRIORITY_HIGH = 0x10,
  CNCL_PRIORITY_HIGH_FOR_ONCE = 0x11
} cnclPriority_t;

struct cnclCliqueId {
  char data[128];
  uint64_t hash;
};
struct cnclCommConfig {
  cnclPriority_t priority;
};
typedef struct cnclCliqueId* cnclCliqueId_t;
typedef struct cnclCommConfig* cnclCommConfig_t;

/* Communicators. Of a null clique_id all ranks are in the call. */
cnclResult_t cnclGetCliqueId(cnclCliqueId_t clique_id);
cnclResult_t cnclInitComms(cnclComm_t* comms, int num_comm, const int* dev_list,
                           const int* rank_list, int nrank, const cnclCliqueId_t clique_id);
cnclResult_t cnclFreeComm(cnclComm_t comm);
cnclResult_t cnclDestroyComms(cnclComm_t* comms, int num_comm);
cnclResult_t cnclAbortComm(cnclComm_t comm);
cnclResult_t cnclSetCommConfig(cnclComm_t comm, const cnclCommConfig_t config);
cnclResult_t cnclGetCommCount(int* count, const cnclComm_t comm);
cnclResult_t cnclGetCommRank(int* rank, const cnclComm_t comm);
cnclResult_t cnclGetCommDevice(int* rank, const cnclComm_t comm);
cnclResult_t cnclGetCommAsyncError(const cnclComm_t comm);
const char* cnclGetErrorStr(cnclResult_t ret);
cnclResult_t cnclGetLibVersion(int* major, int* minor, int* patch);

/* Collectives. Counts are elements: of one rank's piece where pieces are gathered or spread. */
cnclResult_t cnclAllReduce(const void* send_buffer, void* recv_buffer, size_t count,
                           cnclDataType_t data_type, cnclReduceOp_t reduce_op, cnclComm_t comm,
                           cnrtQueue_t queue);
cnclResult_t cnclReduce(const void* send_buffer, void* recv_buffer, size_t count,
                        cnclDataType_t data_type, cnclReduceOp_t reduce_op, int root,
                        cnclComm_t comm, cnrtQueue_t queue);
cnclResult_t cnclBroadcast(const void* send_buffer, void* recv_buffer, size_t count,
                           cnclDataType_t data_type, int root, cnclComm_t comm, cnrtQueue_t queue);
cnclResult_t cnclBcast(void* buffer, size_t count, cnclDataType_t data_type, int root,
                       cnclComm_t comm, cnrtQueue_t queue);
cnclResult_t cnclAllGather(const void* send_buffer, void* recv_buffer, size_t count,
                           cnclDataType_t data_type, cnclComm_t comm, cnrtQueue_t queue);
cnclResult_t cnclReduceScatter(const void* send_buffer, void* recv_buffer, size_t count,
                               cnclDataType_t data_type, cnclReduceOp_t reduce_op, cnclComm_t comm,
                               cnrtQueue_t queue);
cnclResult_t cnclAlltoAll(const void* send_buffer, void* recv_buffer, size_t count,
                          cnclDataType_t data_type, cnclComm_t comm, cnrtQueue_t queue);
cnclResult_t cnclAlltoAllv(const void** send_buffers, uint32_t* send_counts,
                           cnclDataType_t* send_types, void** recv_buffers, uint32_t* recv_counts,
                           cnclDataType_t* recv_types, cnclComm_t comm, cnrtQueue_t queue);

/* Messages and groups */
cnclResult_t cnclSend(void* buffer, const size_t count, cnclDataType_t data_type, const int dest,
                      const cnclComm_t comm, cnrtQueue_t queue);
cnclResult_t cnclRecv(void* buffer, const size_t count, cnclDataType_t data_type,
                      const int source, const cnclComm_t comm, cnrtQueue_t queue);
cnclResult_t cnclGroupStart(void);
cnclResult_t cnclGroupEnd(void);

#ifdef __cplusplus
}
#endif

#endif
