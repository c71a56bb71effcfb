#include "codes.hpp"

#include "accel_sim/vendor.hpp"

namespace ascendcl {

int code_of(accel_sim::Kind kind) {
  using accel_sim::Kind;
  switch (kind) {
    case Kind::invalid_argument: return kRuntimeInvalidParameter;
    case Kind::null_pointer: return kInvalidParameter;
    case Kind::invalid_handle: return kInvalidHandle;
    case Kind::invalid_device: return kInvalidDevice;
    case Kind::no_context: return kNoContext;
    case Kind::wrong_device: return kStreamOfOtherContext;
    case Kind::unaligned: return kUnaligned;
    case Kind::out_of_bounds: return kDeviceMemory;
    case Kind::use_after_free: return kDeviceMemory;
    case Kind::out_of_memory: return kMemoryAllocation;
    case Kind::host_registration: return kHostRegistered;
    case Kind::not_supported: return kFeatureNotSupported;
    // Not kFeatureNotSupported: torch_npu takes that as a warning and goes on.
    case Kind::not_simulated: return kApiNotSupported;
    case Kind::timeout: return kStreamTimeout;
    case Kind::task_failed: return kTaskException;
    case Kind::stream_aborted: return kStreamAborted;
    case Kind::not_ready: return kEventNotComplete;
    case Kind::no_timing: return kTimestampInvalid;
    case Kind::not_subscribed: return kNotSubscribed;
    case Kind::ipc: return kIpc;
    case Kind::not_initialised: return kUninitialised;
    case Kind::capture: return kCaptureConflict;
    case Kind::forked: return kDriverInternal;
    case Kind::internal: return kInternal;
  }
  return kInternal;
}

namespace {

[[maybe_unused]] const bool registered = [] {
  accel_sim::register_vendor({"CANN", "ASCEND_RT_VISIBLE_DEVICES", code_of});
  return true;
}();

}  // namespace

}  // namespace ascendcl
