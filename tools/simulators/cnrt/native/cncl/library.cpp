// What CNCL calls things: result codes, exported names and arguments, told to the core that does
// the work.

#include "accel_sim/ranks/vendor.hpp"
#include "dtypes.hpp"
#include "exports.hpp"

namespace accel_cncl {
namespace {

using accel_ranks::Operation;

// cnrtErrorCndrvFuncCall: a queue on which a task of another library failed. Which code real queues
// report is not known.
constexpr int kQueueFailed = 632015;

struct CodeRow {
  Problem problem;
  cnclResult_t code;
};

constexpr CodeRow kCodes[] = {
    {Problem::none, CNCL_RET_SUCCESS},
    {Problem::argument, CNCL_RET_ERR_ARGUMENTS},
    {Problem::null_pointer, CNCL_RET_ERR_NULL_POINTER},
    {Problem::not_supported, CNCL_RET_ERR_UNSUPPORTED},
    {Problem::unavailable, CNCL_RET_ERR_NOT_INIT},
    {Problem::system, CNCL_RET_ERR_SYSTEM},
    {Problem::timeout, CNCL_RET_ASYNC_ERROR},
    {Problem::connect, CNCL_RET_ERR_SYS_SOCKET},
    {Problem::runtime, CNCL_RET_ERR_MLU_RUNTIME},
    {Problem::remote, CNCL_RET_ASYNC_ERROR},
    {Problem::out_of_memory, CNCL_RET_ERR_CNRT_MALLOC},
};

int number_of(Problem problem) { return code_of(problem); }

// CNCL's codes fit a byte.
int number_of_fault(int code) {
  return code >= 1 && code <= 0xff ? code : CNCL_RET_ERR_MLU_RUNTIME;
}

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::kAllReduce: return "cnclAllReduce";
    case Operation::kBroadcast: return "cnclBroadcast";
    case Operation::kReduce: return "cnclReduce";
    case Operation::kAllGather: return "cnclAllGather";
    case Operation::kReduceScatter: return "cnclReduceScatter";
    case Operation::kAlltoAll: return "cnclAlltoAll";
    case Operation::kAlltoAllV: return "cnclAlltoAllv";
    case Operation::kSend: return "cnclSend";
    case Operation::kRecv: return "cnclRecv";
    case Operation::kBatchSendRecv: return "cnclGroupEnd";
    default: return "an operation that CNCL lacks";
  }
}

accel_ranks::Vendor describe() {
  accel_ranks::Vendor vendor;
  vendor.words.library = "CNCL";
  vendor.words.send = "send_buffer";
  vendor.words.receive = "recv_buffer";
  vendor.words.buffer = "buffer";
  vendor.words.type = "data_type";
  vendor.words.receive_type = "recv_types";
  vendor.words.reduction = "reduce_op";
  vendor.words.root_record = "clique_id";
  vendor.words.root_function = "cnclGetCliqueId";
  vendor.words.group_start = "cnclGroupStart";
  vendor.words.group_end = "cnclGroupEnd";
  vendor.words.connect_limit = " (CNCL_SIM_CONNECT_TIMEOUT)";
  vendor.words.call_limit = " (CNCL_SIM_CALL_TIMEOUT)";
  vendor.operation = name_of;
  vendor.code_of = number_of;
  vendor.code_of_fault = number_of_fault;
  vendor.stream_timeout = kQueueFailed;
  vendor.stream_failed = kQueueFailed;
  return vendor;
}

[[maybe_unused]] const bool registered = (accel_ranks::register_vendor(describe()), true);

}  // namespace

cnclResult_t code_of(Problem problem) {
  for (const CodeRow& row : kCodes) {
    if (row.problem == problem) return row.code;
  }
  return CNCL_RET_ERR_INTERNAL;
}

const char* result_name(cnclResult_t code) {
  switch (code) {
    case CNCL_RET_SUCCESS: return "success";
    case CNCL_RET_ERR_INTERNAL: return "internal error";
    case CNCL_RET_ERR_SYSTEM: return "system call failed";
    case CNCL_RET_ERR_MLU_RUNTIME: return "CNRT call failed";
    case CNCL_RET_ASYNC_IN_PROGRESS: return "operations are still running";
    case CNCL_RET_ERR_ARGUMENTS: return "illegal argument";
    case CNCL_RET_ERR_UNSUPPORTED: return "unsupported operation";
    case CNCL_RET_ASYNC_ERROR: return "asynchronous error";
    case CNCL_RET_ERR_NULL_POINTER: return "null pointer";
    case CNCL_RET_ERR_SYS_SOCKET: return "socket error";
    case CNCL_RET_ERR_CNRT_MALLOC: return "out of device memory";
    case CNCL_RET_ERR_INIT: return "communicators cannot be initialized";
    case CNCL_RET_ERR_NOT_INIT: return "communicator is not initialized";
  }
  return "unknown result";
}

}  // namespace accel_cncl
