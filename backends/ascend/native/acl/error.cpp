#include "error.hpp"

namespace accel_ascend {
namespace {

bool is_out_of_memory(Result code) noexcept {
  return code == kOutOfMemory || code == kDeviceOutOfMemory || code == kAllocationFailed;
}

// What to do about it; empty when there is nothing to say.
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
    case kApiNotSupported:
      return "this chip or driver does not have it: upgrade CANN and its driver";
    default: return {};
  }
}

}  // namespace

// By the names that the toolkit's own header gives its codes. Of the 507xxx only these tell of work
// that failed or of a device that is lost; others refuse a call (507910: the memory is registered
// already), or say that something is not there, not finished or not in time.
bool is_device_error(Result code) noexcept {
  const auto within = [code](Result first, Result last) { return first <= code && code <= last; };
  return code == 107020              // a task took too long
         || within(107022, 107023)   // the device's tasks, or the stream, were aborted
         || within(507000, 507001)   // inside the runtime, inside the task scheduler
         || within(507010, 507011)   // its heartbeat is lost; a model failed
         || within(507013, 507020)   // DMA; AI core and AI CPU: timeout, exception, trap
         || within(507034, 507036)   // vector core: the same
         || within(507042, 507045)   // reads and writes of cores beyond their memory
         || within(507048, 507057)   // tasks of FFTS+; messages, copies, memory, links
         || within(507899, 507902)   // driver, AI CPU, connection to the device
         || code == 507904           // an operation of HCCL, tried again in vain
         || within(507914, 507916);  // port; CCU: timeout, exception
}

std::string message_of(Result code, Entry entry) {
  std::string text = std::string(entry_name(entry)) + " failed: error " + std::to_string(code);
  if (acl().recent_error != nullptr) {
    const char* said = acl().recent_error();
    if (said != nullptr && *said != '\0') text += ", " + std::string(said);
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::string cann_version() {
  if (acl().cann_version == nullptr) return {};
  for (const int package : {0, 1}) {  // CANN itself, then its runtime
    PackageVersion found{};
    if (acl().cann_version(package, &found) != kSuccess || found.version[0] == '\0') continue;
    found.version[sizeof found.version - 1] = '\0';
    return found.version;
  }
  return {};
}

void throw_acl_fault(Result code, Entry entry) {
  using Kind = accel::RuntimeFault::Kind;
  const Kind kind = is_device_error(code)    ? Kind::DeviceFailed
                    : is_out_of_memory(code) ? Kind::OutOfMemory
                                             : Kind::Other;
  throw accel::RuntimeFault(kind, message_of(code, entry), entry_name(entry), code, cure_of(code));
}

}  // namespace accel_ascend
