// What went wrong on a stream, raised by its next synchronisation.
//
// A kernel that meets something wrong (an index out of range that was on the device, so that nobody
// could check it before) skips it and fills in the stream's fault record, kernels/fault_record.h.
// A host callback that raised left its exception in the stream's state.
#pragma once

#include "runtime.hpp"

namespace accel_cuda {

// Throws accel::ErrorSet with an AsyncError whose cause is the first failure of the stream, and of
// the captures replayed on it, since the last call; returns when there was none. The stream must be
// idle, and the GIL held.
void raise_failures(StreamState& state);

// The same for several streams; the first failure is raised and the others counted.
void raise_failures(const std::vector<StreamState*>& states);

}  // namespace accel_cuda
