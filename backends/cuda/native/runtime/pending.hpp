// Keeping Python objects alive until a stream has run past the work that uses them.
//
//   keep(runtime, stream, {pinned_tensor, owner});  // after the work was queued
//
// For what torch's own allocator does not look after: pinned host memory, owners of raw pointers,
// handles of other kinds. Device tensors are told of the stream instead (torch_streams.hpp), which
// costs no event. While the stream is being captured the references go to the graph, and live as
// long as it and its last replay. The GIL must be held.
#pragma once

#include <initializer_list>

#include "runtime.hpp"

namespace accel_cuda {

// Takes a reference to each of `objects` (borrowed; null and None are left out) until all work that
// `stream` has now is done.
void keep(Runtime& runtime, StreamHandle stream, PyObject* const* objects, std::size_t count);

inline void keep(Runtime& runtime, StreamHandle stream, std::initializer_list<PyObject*> objects) {
  keep(runtime, stream, objects.begin(), objects.size());
}

// Hands a reference to each of `objects` to the graph that `stream` is capturing into.
void keep_in_graph(Runtime& runtime, StreamHandle stream, PyObject* const* objects,
                   std::size_t count);

// Puts an event behind the references that have none yet: before the host waits for the stream, so
// that they can go right after. When that fails they stay: the work may be under way.
void seal(Runtime& runtime, StreamState& state);

// Releases what this stream's work is done with; at most `most` events are asked about.
void release_passed(Runtime& runtime, StreamState& state, int most);

// The stream is idle: releases everything kept before.
void release_all(Runtime& runtime, StreamState& state);

// release_passed for every stream of the device.
void collect(Runtime& runtime);

// How many references wait, for tests and notes.
std::size_t held_count(const Runtime& runtime);

}  // namespace accel_cuda
