#include "error.hpp"

namespace accel_ascend {
namespace {

std::string message_of(Result code, Entry entry) {
  std::string text = std::string(entry_name(entry)) + " failed: error " + std::to_string(code);
  if (acl().recent_error != nullptr) {
    const char* said = acl().recent_error();
    if (said != nullptr && *said != '\0') text += ", " + std::string(said);
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

AclFault::AclFault(Result code_, Entry entry_)
    : std::runtime_error(message_of(code_, entry_)),
      code(code_),
      entry(entry_),
      call(entry_name(entry_)) {}

bool is_device_error(Result code) noexcept { return code >= 507000 && code < 508000; }

bool is_out_of_memory(Result code) noexcept {
  return code == kOutOfMemory || code == kAllocationFailed;
}

std::string cure_of(Result code) {
  if (is_device_error(code)) {
    return "the device reported the failure of earlier work: torch.npu.synchronize() names it, and "
           "the log in ~/ascend/log tells more; restart the process if it persists";
  }
  if (is_out_of_memory(code)) {
    return "free tensors or pinned buffers, call torch.npu.empty_cache() or backend.pinned.trim()";
  }
  switch (code) {
    case kNoContext:
      return "a process that was forked after its parent used the device cannot use it: start "
             "processes with multiprocessing's 'spawn' or 'forkserver'";
    case kNotSupported:
    case kApiNotSupported: return "this chip or driver does not have it: upgrade CANN and its driver";
    default: return {};
  }
}

void throw_acl_fault(Result code, Entry entry) { throw AclFault(code, entry); }

}  // namespace accel_ascend
