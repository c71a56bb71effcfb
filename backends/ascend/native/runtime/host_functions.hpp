// Work for the host in a stream's order, through aclrtLaunchHostFunc.
#pragma once

#include <accel/strided_plan.hpp>

#include <cstddef>

#include "stream_state.hpp"

namespace accel_ascend {

bool has_host_functions() noexcept;

// Calls `run()`, which must not raise, once the stream gets there. The GIL must be held.
void launch_python(StreamState& state, PyObject* run);

// Copies host memory, the plan's bytes, once the stream gets there: no thread of the caller waits.
void launch_copy(StreamState& state, const accel::StridedPlan& plan, char* dst, const char* src);

void launch_fill(StreamState& state, const accel::StridedPlan& plan, char* dst,
                 std::uint8_t value);

// The same at once, on this thread.
void copy_on_host(const accel::StridedPlan& plan, char* dst, const char* src);
void fill_on_host(const accel::StridedPlan& plan, char* dst, std::uint8_t value);

// Functions that have not run yet, of Python and of copies: what they write is not there.
int functions_waiting() noexcept;

// Waits for them, and takes no more: when the program ends.
void finish_functions();

}  // namespace accel_ascend
