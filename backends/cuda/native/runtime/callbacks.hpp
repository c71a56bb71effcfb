// Host callbacks in stream order.
//
// The driver runs host functions on a thread of its own, one after another for all streams, and one
// that blocks there holds up the callbacks of every other stream. So the host function only wakes a
// worker, and the stream itself waits for a word in pinned memory that the worker writes when the
// callback has returned. Where the driver cannot let a stream wait for a word, and inside a graph
// (whose replays would all wait for the same value), the host function waits for the worker.
#pragma once

#include "runtime.hpp"

namespace accel_cuda {

// Calls fn() on a worker thread when all earlier work of the stream is done; later work waits for
// it. What it raises is kept in the state's failures. The GIL must be held.
void add_callback(Runtime& runtime, StreamState& state, PyObject* fn);

// Notes whose process this is; called once, when the module is imported.
void prepare_callbacks();

// Waits until every callback given has run, or cannot run any more; afterwards none touches Python.
// Called once, when the interpreter is about to end, with the GIL held.
void finish_callbacks();

}  // namespace accel_cuda
