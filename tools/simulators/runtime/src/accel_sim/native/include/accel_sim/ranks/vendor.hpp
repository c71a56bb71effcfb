// What the ranks' core asks of the vendor library on it: names and numbers, set once at load.
#pragma once

#include "accel_sim/ranks/dtypes.hpp"
#include "accel_sim/ranks/failure.hpp"

namespace accel_ranks __attribute__((visibility("default"))) {

/// The words that the library's documentation uses, so that messages name what the caller wrote.
struct Words {
  const char* library = "the library";       // "HCCL"
  const char* send = "send";                 // arguments of the collectives
  const char* receive = "receive";
  const char* buffer = "buffer";             // of calls with one buffer
  const char* type = "type";
  const char* receive_type = "receive type";
  const char* reduction = "reduction";
  const char* root_record = "root record";   // how to reach the root, and who makes it
  const char* root_function = "its maker";
  const char* group_name = "name";           // of a communicator, as a configuration gives it
  const char* group_start = "group start";
  const char* group_end = "group end";
  const char* connect_limit = "";            // " (HCCL_CONNECT_TIMEOUT)": where limits are set
  const char* call_limit = "";
};

struct Vendor {
  Words words;
  const char* (*operation)(Operation) = nullptr;  // the exported function: "HcclAllReduce"
  int (*code_of)(Problem) = nullptr;
  int (*code_of_fault)(int planned) = nullptr;    // the code with which a planned fault is reported
  int stream_timeout = -1;                        // errors of a stream on which a call failed
  int stream_failed = -1;
  bool one_message_each = false;  // strict: a call meets a rank once in each direction
  /// Strict mode's limits: throws not_supported naming the operation, the type and what is allowed.
  /// nullptr: every operation takes every type of the library.
  void (*check_supported)(Operation, DataType, const Reduction*) = nullptr;
};

void register_vendor(const Vendor& vendor);
const Vendor& vendor();

}  // namespace accel_ranks
