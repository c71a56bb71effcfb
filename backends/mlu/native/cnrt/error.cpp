#include "error.hpp"

namespace accel_mlu {
namespace {

using Kind = accel::RuntimeFault::Kind;

Kind kind_of(Result code) noexcept {
  if (has_failed(code)) return Kind::DeviceFailed;
  return code == kNoMemory || code == kNoHostMemory ? Kind::OutOfMemory : Kind::Other;
}

std::string cure_of(Result code) {
  switch (kind_of(code)) {
    case Kind::DeviceFailed:
      return "torch.mlu.synchronize() names the operation that failed; restart the process if it "
             "persists, and see `cnmon`";
    case Kind::OutOfMemory:
      return "free tensors or pinned buffers, call torch.mlu.empty_cache() or "
             "backend.pinned.trim()";
    case Kind::Other: break;
  }
  if (code == kNoContext) {
    return "this thread or process has no device: a process that was forked after its parent used "
           "one cannot, so start it with multiprocessing's 'spawn' or 'forkserver'";
  }
  if (code == kNotSupported) return "this chip or driver cannot do it: upgrade Neuware";
  return {};
}

}  // namespace

bool has_failed(Result code) noexcept {
  return code == kKernelTrap || code == kQueueFailed || code == kSystem;
}

std::string message_of(Result code, const std::string& call) {
  std::string text = call + " failed: error " + std::to_string(code);
  const char* const said = cnrt().error_text == nullptr ? nullptr : cnrt().error_text(code);
  if (said != nullptr && *said != '\0') text += std::string(", ") + said;
  return text;
}

void throw_fault(Result code, const std::string& call) {
  throw accel::RuntimeFault(kind_of(code), message_of(code, call), call, code, cure_of(code));
}

}  // namespace accel_mlu
