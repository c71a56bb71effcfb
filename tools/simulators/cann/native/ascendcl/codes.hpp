// The numbers of CANN's errors, states and kinds that this library answers with or takes.
#pragma once

#include "accel_sim/failure.hpp"

namespace ascendcl {

enum Code : int {
  kInvalidParameter = 100000,
  kUninitialised = 100001,
  kRepeatedInit = 100002,
  kNotSubscribedThread = 100035,
  kRuntimeInvalidParameter = 107000,
  kInvalidDevice = 107001,
  kNoContext = 107002,
  kStreamOfOtherContext = 107003,
  kTimestampInvalid = 107006,
  kUnaligned = 107008,
  kNotSubscribed = 107012,
  kInvalidHandle = 107017,
  kStreamAborted = 107023,
  kNotCaptured = 107029,
  kCaptureConflict = 107032,
  kApiNotSupported = 200001,
  kFeatureNotSupported = 207000,
  kMemoryAllocation = 207001,
  kInternal = 507000,
  kEventNotComplete = 507006,
  kReportTimeout = 507012,
  kTaskException = 507015,
  kIpc = 507022,
  kStreamTimeout = 507046,
  kEventTimeout = 507047,
  kDeviceMemory = 507053,
  kDriverInternal = 507899,
  kHostRegistered = 507910,
};

int code_of(accel_sim::Kind kind);

}  // namespace ascendcl
