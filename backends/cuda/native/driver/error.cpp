#include "error.hpp"

namespace accel_cuda {
namespace {

std::string result_text(Result code) {
  const char* text = nullptr;
  if (driver().error_string == nullptr || driver().error_string(code, &text) != kSuccess ||
      text == nullptr) {
    return "no description";
  }
  return text;
}

}  // namespace

std::string result_name(Result code) {
  const char* name = nullptr;
  if (driver().error_name == nullptr || driver().error_name(code, &name) != kSuccess ||
      name == nullptr) {
    return "error " + std::to_string(code);
  }
  return name;
}

bool is_sticky(Result code) noexcept {
  switch (code) {
    case 214:  // ECC uncorrectable
    case 220:  // NVLink uncorrectable
    case 700:  // illegal address
    case 702:  // launch timeout
    case 709:  // context is destroyed
    case 710:  // assert
    case 714:  // hardware stack error
    case 715:  // illegal instruction
    case 716:  // misaligned address
    case 717:  // invalid address space
    case 718:  // invalid program counter
    case 719:  // launch failed
      return true;
    default: return false;
  }
}

std::string cure_of(Result code) {
  if (is_sticky(code)) {
    return "the device context is lost: no call in this process can use the device again, restart "
           "the process; to find the kernel at fault run it under compute-sanitizer, or with "
           "CUDA_LAUNCH_BLOCKING=1";
  }
  switch (code) {
    case kOutOfMemory:
      return "free tensors or pinned buffers, call torch.cuda.empty_cache() or "
             "backend.pinned.trim(), or use smaller pieces";
    case kNotInitialized:
      return "a process that was forked after its parent used the device cannot use it: start "
             "processes with multiprocessing's 'spawn' or 'forkserver'";
    case kDeinitialized: return "the process is ending: close the backend before";
    case 100:
      return "no device is visible: look at CUDA_VISIBLE_DEVICES (HIP_VISIBLE_DEVICES), and "
             "whether the container was given a GPU";
    case 101: return "name a device that exists: see torch.cuda.device_count()";
    case 34:
    case 803:
    case 804:
      return "the driver library does not fit the kernel module: reboot after a driver upgrade, or "
             "install the same version of both";
    case 802:
      return "wait for the fabric manager, or start it: systemctl status nvidia-fabricmanager";
    case 999: return "look at the system log (dmesg) for the driver's message";
    case 209:
    case 218:
    case 222:
    case 200:
      return "the compiled kernel does not fit this device or driver: remove it from the kernel "
             "cache and build it again (accel build-kernels)";
    case 701: return "use fewer threads or less shared memory in a block";
    case kCaptureUnsupported:
      return "take the call out of the capture: synchronising, querying and blocking copies cannot "
             "be part of a graph";
    case kCaptureInvalidated: return "leave the capture and start it again without the failed call";
    case 902:
      return "captures may be joined only by events within one capture";
    case 903:
    case 904:
      return "let the capturing stream wait for every stream that the capture spread to "
             "(stream.wait_stream) before the capture ends";
    case 905: return "the two streams belong to different captures: order them outside";
    case kCaptureImplicit:
      return "the default stream cannot be used while a stream that synchronises with it captures: "
             "pass a created stream";
    case kCapturedEvent: return "record the event again outside the capture before asking about it";
    case 908: return "end the capture on the thread that began it";
    default: return "";
  }
}

DriverFault::DriverFault(Result code_, Entry entry_)
    : std::runtime_error(std::string(entry_name(entry_)) + " failed: " + result_name(code_) + ", " +
                         result_text(code_)),
      code(code_),
      entry(entry_),
      call(entry_name(entry_)),
      name(result_name(code_)),
      text(result_text(code_)) {}

void throw_driver_fault(Result code, Entry entry) { throw DriverFault(code, entry); }

}  // namespace accel_cuda
