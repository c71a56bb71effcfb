// Which of CNRT's numbers a failure of the core has, and their texts.
#include <map>

#include "accel_sim/vendor.hpp"
#include "api.hpp"

namespace cnrt {
namespace {

int code_of(Kind kind) {
  switch (kind) {
    case Kind::null_pointer:
    case Kind::unaligned:
    case Kind::invalid_argument: return cnrtErrorArgsInvalid;
    case Kind::not_subscribed:
    case Kind::invalid_handle: return cnrtErrorInvalidResourceHandle;
    case Kind::invalid_device:
      return accel_sim::device_count() == 0 ? cnrtErrorNoDevice : cnrtErrorDeviceInvalid;
    case Kind::no_context: return cnrtErrorNoCnrtContext;
    case Kind::wrong_device: return cnrtErrorDevice;
    case Kind::out_of_memory: return cnrtErrorNoMem;
    case Kind::not_simulated:
    case Kind::not_supported: return cnrtErrorNotSupport;
    case Kind::not_initialised: return cnrtErrorInit;
    case Kind::capture: return cnrtErrorQueueCaptureUnsupported;
    case Kind::not_ready: return pose().not_ready;
    case Kind::no_timing: return cnrtErrorArgsInvalid;
    case Kind::task_failed: return cnrtErrorKernelTrap;
    case Kind::internal: return cnrtErrorUnknown;
    // What the driver below CNRT finds out.
    case Kind::out_of_bounds:
    case Kind::use_after_free:
    case Kind::host_registration:
    case Kind::timeout:
    case Kind::stream_aborted:
    case Kind::ipc:
    case Kind::forked: return cnrtErrorCndrvFuncCall;
  }
  return cnrtErrorUnknown;
}

// Queues of one device run so many operations at once: when more are ready, priorities decide.
constexpr int kExecutionSlots = 2;

[[maybe_unused]] const bool registered = [] {
  accel_sim::Vendor vendor;
  vendor.name = "CNRT";
  vendor.visible_variable = "MLU_VISIBLE_DEVICES";
  vendor.code_of = code_of;
  vendor.default_device = 0;
  vendor.default_priority = 7;
  vendor.peers_enabled = true;
  vendor.execution_slots = kExecutionSlots;
  accel_sim::register_vendor(vendor);
  return true;
}();

struct Text {
  const char* name;
  const char* meaning;
};

const std::map<int, Text>& texts() {
  static const auto* const all = new std::map<int, Text>{
      {cnrtSuccess, {"cnrtSuccess", "no error"}},
      {cnrtErrorNotReady, {"cnrtErrorNotReady", "the work has not ended yet"}},
      {cnrtErrorInit, {"cnrtErrorInit", "CNRT could not be initialised"}},
      {cnrtErrorNoDevice, {"cnrtErrorNoDevice", "there is no device"}},
      {cnrtErrorDeviceInvalid, {"cnrtErrorDeviceInvalid", "there is no device of that number"}},
      {cnrtErrorArgsInvalid, {"cnrtErrorArgsInvalid", "an argument is not valid"}},
      {cnrtErrorSys, {"cnrtErrorSys", "a call of the operating system failed"}},
      {cnrtErrorSysNoMem, {"cnrtErrorSysNoMem", "the host is out of memory"}},
      {cnrtErrorInvalidResourceHandle,
       {"cnrtErrorInvalidResourceHandle", "a queue, notifier or other handle is not alive"}},
      {cnrtErrorNotSupport, {"cnrtErrorNotSupport", "not supported"}},
      {cnrtErrorOpsNotPermitted, {"cnrtErrorOpsNotPermitted", "not permitted"}},
      {cnrtErrorQueue, {"cnrtErrorQueue", "there is no default queue"}},
      {cnrtErrorNoMem, {"cnrtErrorNoMem", "the device is out of memory"}},
      {cnrtErrorKernelTrap, {"cnrtErrorKernelTrap", "work on a queue failed"}},
      {cnrtErrorNotFound, {"cnrtErrorNotFound", "not found"}},
      {cnrtErrorInvalidKernel, {"cnrtErrorInvalidKernel", "the kernel is not valid"}},
      {cnrtErrorNoKernel, {"cnrtErrorNoKernel", "the kernel was not registered"}},
      {cnrtErrorQueueCaptureUnsupported,
       {"cnrtErrorQueueCaptureUnsupported", "not permitted while a queue is captured"}},
      {cnrtErrorDevice, {"cnrtErrorDevice", "the resource belongs to another device"}},
      {cnrtErrorNoAttribute, {"cnrtErrorNoAttribute", "there is no such attribute"}},
      {cnrtErrorMemcpyDirectionInvalid,
       {"cnrtErrorMemcpyDirectionInvalid", "there is no such direction of a copy"}},
      {cnrtErrorBusy, {"cnrtErrorBusy", "the work has not ended yet"}},
      {cnrtErrorCndrvFuncCall, {"cnrtErrorCndrvFuncCall", "a call of the driver failed"}},
      {cnrtErrorNoCnrtContext, {"cnrtErrorNoCnrtContext", "the thread has no device"}},
      {cnrtErrorUnknown, {"cnrtErrorUnknown", "unknown error"}},
  };
  return *all;
}

const Text& text_of(int code) {
  const auto found = texts().find(code);
  return found == texts().end() ? texts().at(cnrtErrorUnknown) : found->second;
}

}  // namespace
}  // namespace cnrt

using namespace cnrt;

ACCEL_SIM_EXPORT const char* cnrtGetErrorName(cnrtRet_t code) { return text_of(code).name; }

// The recent call's own text where it is that code's: what was wrong, not just which kind.
ACCEL_SIM_EXPORT const char* cnrtGetErrorStr(cnrtRet_t code) {
  thread_local std::string text;
  if (code == cnrtSuccess || code != accel_sim::recent_error_code(false)) return text_of(code).meaning;
  text = std::string(text_of(code).meaning) + ": " + accel_sim::recent_error_text();
  return text.c_str();
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtPeekAtLastError() { return accel_sim::recent_error_code(false); }
ACCEL_SIM_EXPORT cnrtRet_t cnrtGetLastError() { return accel_sim::recent_error_code(true); }
