// What HCCL calls things: result codes, exported names and the words of its documentation, told to
// the core that does the work.

#include "accel_sim/ranks/vendor.hpp"
#include "dtypes.hpp"
#include "exports.hpp"

namespace accel_hccl {
namespace {

using accel_ranks::Operation;

// Codes of stream errors (acl/error_codes/rt_error_codes.h): 910B reports a notify wait that ran out
// of time as 507048, and a failed communication task as 507018.
constexpr int kStreamTimeout = 507048;
constexpr int kStreamFailed = 507018;

struct CodeRow {
  Problem problem;
  HcclResult code;
  const char* name;
};

constexpr CodeRow kCodes[] = {
    {Problem::none, HCCL_SUCCESS, "no error"},
    {Problem::argument, HCCL_E_PARA, "parameter error"},
    {Problem::null_pointer, HCCL_E_PTR, "empty pointer"},
    {Problem::internal, HCCL_E_INTERNAL, "internal error"},
    {Problem::not_supported, HCCL_E_NOT_SUPPORT, "feature not supported"},
    {Problem::not_found, HCCL_E_NOT_FOUND, "resource not found"},
    {Problem::unavailable, HCCL_E_UNAVAIL, "resource unavailable"},
    {Problem::system, HCCL_E_SYSCALL, "system call error"},
    {Problem::timeout, HCCL_E_TIMEOUT, "timeout"},
    {Problem::file, HCCL_E_OPEN_FILE_FAILURE, "file cannot be opened"},
    {Problem::connect, HCCL_E_TCP_CONNECT, "connection failed"},
    {Problem::runtime, HCCL_E_RUNTIME, "runtime call failed"},
    {Problem::remote, HCCL_E_REMOTE, "remote rank failed"},
    {Problem::suspended, HCCL_E_SUSPENDING, "communicator suspending"},
    {Problem::out_of_memory, HCCL_E_OOM, "out of memory"},
    // codes that the simulator gives only when a fault plan asks for them
    {Problem::internal, HCCL_E_MEMORY, "memory error"},
    {Problem::internal, HCCL_E_TCP_TRANSFER, "transfer failed"},
};

int number_of(Problem problem) { return code_of(problem); }

// 1 to 24 as they are.
int number_of_fault(int code) { return code >= 1 && code <= 24 ? code : HCCL_E_RUNTIME; }

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::kAllReduce: return "HcclAllReduce";
    case Operation::kBroadcast: return "HcclBroadcast";
    case Operation::kReduce: return "HcclReduce";
    case Operation::kAllGather: return "HcclAllGather";
    case Operation::kAllGatherV: return "HcclAllGatherV";
    case Operation::kReduceScatter: return "HcclReduceScatter";
    case Operation::kReduceScatterV: return "HcclReduceScatterV";
    case Operation::kScatter: return "HcclScatter";
    case Operation::kAlltoAll: return "HcclAlltoAll";
    case Operation::kAlltoAllV: return "HcclAlltoAllV";
    case Operation::kAlltoAllVC: return "HcclAlltoAllVC";
    case Operation::kBarrier: return "HcclBarrier";
    case Operation::kSend: return "HcclSend";
    case Operation::kRecv: return "HcclRecv";
    case Operation::kBatchSendRecv: return "HcclBatchSendRecv";
  }
  return "an unknown operation";
}

accel_ranks::Vendor describe() {
  accel_ranks::Vendor vendor;
  vendor.words.library = "HCCL";
  vendor.words.send = "sendBuf";
  vendor.words.receive = "recvBuf";
  vendor.words.buffer = "buf";
  vendor.words.type = "dataType";
  vendor.words.receive_type = "recvType";
  vendor.words.reduction = "op";
  vendor.words.root_record = "rootInfo";
  vendor.words.root_function = "HcclGetRootInfo";
  vendor.words.group_name = "hcclCommName";
  vendor.words.group_start = "HcclGroupStart";
  vendor.words.group_end = "HcclGroupEnd";
  vendor.words.connect_limit = " (HCCL_CONNECT_TIMEOUT)";
  vendor.words.call_limit = " (HCCL_EXEC_TIMEOUT)";
  vendor.operation = name_of;
  vendor.code_of = number_of;
  vendor.code_of_fault = number_of_fault;
  vendor.stream_timeout = kStreamTimeout;
  vendor.stream_failed = kStreamFailed;
  vendor.one_message_each = true;
  vendor.check_supported = check_supported;
  return vendor;
}

[[maybe_unused]] const bool registered = (accel_ranks::register_vendor(describe()), true);

}  // namespace

HcclResult code_of(Problem problem) {
  for (const CodeRow& row : kCodes) {
    if (row.problem == problem) return row.code;
  }
  return HCCL_E_INTERNAL;
}

const char* result_name(HcclResult code) {
  for (const CodeRow& row : kCodes) {
    if (row.code == code) return row.name;
  }
  return "unknown error code";
}

}  // namespace accel_hccl
