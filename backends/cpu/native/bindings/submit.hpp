// Giving work to a stream from a Python binding.
//
//   submit(stream, [=] { move_pages(plan); }, {dst.ptr(), src.ptr()}, nbytes);
//
// `stream` is None (the thread's current stream) or an accel_cpu stream; anything else is a
// DTypeError. The task must not touch Python. On an inline stream (see runtime/stream.hpp) it runs
// before the call returns, without the GIL when it is worth releasing; else it is queued, and the
// objects in `keep` (borrowed) stay alive until it has run.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>

#include "../runtime/stream.hpp"
#include "keepalive.hpp"

namespace accel_cpu {

// Work on fewer bytes than this takes less time than handing the GIL over.
constexpr std::size_t kReleaseGilBytes = std::size_t{32} << 10;

// The stream that `object` stands for. `argument` names it in the error.
std::shared_ptr<Stream> resolve_stream(pybind11::handle object, const char* argument = "stream");

template <class F>
void submit(const std::shared_ptr<Stream>& stream, F&& task, Keepalive keep, std::size_t nbytes) {
  drain_graveyard();
  if (!stream->runs_inline()) {
    stream->submit([work = std::forward<F>(task), keep = std::move(keep)]() mutable { work(); });
  } else if (stream->is_default() && nbytes < kReleaseGilBytes) {
    task();
  } else {  // an entered stream first runs what others queued: that may take any time
    pybind11::gil_scoped_release unlocked;
    stream->submit([&task] { task(); });
  }
}

template <class F>
void submit(pybind11::handle stream, F&& task, std::initializer_list<PyObject*> keep,
            std::size_t nbytes) {
  const auto target = resolve_stream(stream);
  // Work that runs before this returns needs no references of its own.
  submit(target, std::forward<F>(task), target->runs_inline() ? Keepalive() : Keepalive(keep),
         nbytes);
}

}  // namespace accel_cpu
