#include "stream.hpp"

#include <accel/errors.hpp>

#include <algorithm>
#include <string>

#include "callbacks.hpp"
#include "event.hpp"
#include "faults.hpp"
#include "graveyard.hpp"
#include "pending.hpp"

namespace py = pybind11;

namespace accel_cuda {
namespace {

// One of the streams whose owners are gone, if it has nothing left to do.
StreamState* take_idle(Runtime& runtime, int priority) {
  const auto found = runtime.idle_streams.find(priority);
  if (found == runtime.idle_streams.end()) return nullptr;
  std::vector<StreamState*>& idle = found->second;
  for (std::size_t i = idle.size(); i-- > 0;) {
    StreamState* const state = idle[i];
    if (is_capturing(state->handle) || driver().stream_query(state->handle) != kSuccess) continue;
    idle.erase(idle.begin() + static_cast<std::ptrdiff_t>(i));
    return state;
  }
  return nullptr;
}

// What the last owner never asked about is not the next one's to hear of.
void forget_failures(StreamState& state) {
  for (PyObject* exception : state.failures) Py_DECREF(exception);
  state.failures.clear();
  state.replayed.clear();
  state.words->fault = AccelFaultRecord{};
}

int priority_of(StreamHandle handle) {
  int priority = 0;
  // The default stream has none, and a driver may refuse to say.
  return driver().stream_priority(handle, &priority) == kSuccess ? priority : 0;
}

}  // namespace

Stream::Stream(Runtime& runtime_, StreamState& state_, int priority_)
    : runtime(runtime_), state(state_), handle(state_.handle), priority(priority_) {
  // What torch calls an external stream: its id is the handle.
  torch_id.stream_id = static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(handle));
  torch_id.device_index = runtime.device.index;
}

Stream::~Stream() {
  // A newer Stream for the same handle may have been made while this one was going away.
  if (state.ours && state.object.expired()) {
    runtime.idle_streams[priority].push_back(&state);
  }
}

std::shared_ptr<Stream> Stream::create(const Device& device, int wanted) {
  Runtime& runtime = Runtime::of(device);
  drain_graveyard();
  const int priority = std::clamp(wanted, device.greatest_priority(), device.least_priority());
  Current current(device);
  StreamState* state = take_idle(runtime, priority);
  if (state != nullptr) {
    release_all(runtime, *state);
    forget_failures(*state);
  } else {
    StreamHandle handle = nullptr;
    ACCEL_CUDA_CALL(stream_create, &handle, kStreamNonBlocking, priority);
    state = &runtime.state(handle);
    state->ours = true;
  }
  auto made = std::make_shared<Stream>(runtime, *state, priority);
  state->object = made;
  return made;
}

std::shared_ptr<Stream> Stream::adopt(const Device& device, StreamHandle handle) {
  Runtime& runtime = Runtime::of(device);
  StreamState& state = runtime.state(handle);
  if (auto known = state.object.lock()) return known;
  Current current(device);
  if (state.ours) {  // ours, and without an owner: take it out of those that wait for one
    for (auto& [priority, idle] : runtime.idle_streams) {
      idle.erase(std::remove(idle.begin(), idle.end(), &state), idle.end());
    }
  }
  auto made = std::make_shared<Stream>(runtime, state, priority_of(handle));
  state.object = made;
  return made;
}

std::shared_ptr<Stream> Stream::current(const Device& device) {
  return adopt(device, current_stream(device));
}

void Stream::refuse_in_capture(const char* call) const {
  if (!is_capturing(handle)) return;
  accel::fail_message("StateError",
                      std::string(call) +
                          " cannot be captured: it asks the host to wait for work that only runs "
                          "when the graph is replayed. Cure: call it after the capture has ended");
}

bool Stream::query() {
  refuse_in_capture("stream.query()");
  Current current(device());
  const Result result = driver().stream_query(handle);
  if (result == kNotReady) return false;
  check(result, Entry::stream_query);
  return true;
}

void Stream::synchronize() {
  refuse_in_capture("stream.synchronize()");
  seal(runtime, state);
  Current current(device());
  Result result = driver().stream_query(handle);
  if (result == kNotReady) {
    wait_interruptibly([&] {
      result = driver().stream_query(handle);
      return result != kNotReady;
    });
  }
  release_all(runtime, state);
  check(result, Entry::stream_query);
  raise_failures(state);
}

void Stream::wait_event(const Event& event) {
  if (!event.has_snapshot()) return;
  Submission submission(runtime);
  ACCEL_CUDA_CALL(stream_wait_event, handle, event.handle(), 0);
}

void Stream::wait_stream(const Stream& other) {
  if (&other == this) return;
  Runtime& theirs = other.runtime;
  EventHandle event = nullptr;
  {
    Current current(theirs.device);
    event = theirs.take_event();
  }
  try {
    {
      Submission submission(theirs);
      ACCEL_CUDA_CALL(event_record, event, other.handle);
    }
    Submission submission(runtime);
    ACCEL_CUDA_CALL(stream_wait_event, handle, event, 0);
  } catch (...) {
    theirs.give_event(event);
    throw;
  }
  theirs.give_event(event);  // recording it again does not change this wait
}

void Stream::add_callback(PyObject* fn) {
  drain_graveyard();
  accel_cuda::add_callback(runtime, state, fn);
}

void synchronize_device(const Device& device) {
  Runtime& runtime = Runtime::of(device);
  Current current(device);
  std::vector<std::shared_ptr<Stream>> alive;
  std::vector<StreamState*> states;
  const std::size_t count = runtime.states().size();
  for (std::size_t i = 0; i < count; ++i) {
    StreamState* const state = runtime.states()[i].get();
    states.push_back(state);
    auto object = state->object.lock();
    // Others' streams may be gone, unless somebody holds them: those are waited for below.
    if (object == nullptr && !state->ours && state->handle != nullptr) continue;
    if (object != nullptr) alive.push_back(std::move(object));
    if (is_capturing(state->handle)) {
      accel::fail_message("StateError",
                          "streams.synchronize() was called while a stream of the device is being "
                          "captured. Cure: call it after the capture has ended");
    }
    seal(runtime, *state);
    Result result = driver().stream_query(state->handle);
    if (result == kNotReady) {
      wait_interruptibly([&] {
        result = driver().stream_query(state->handle);
        return result != kNotReady;
      });
    }
    check(result, Entry::stream_query);
  }
  if (driver().context_synchronize != nullptr) {
    Result result = kSuccess;
    {
      py::gil_scoped_release unlocked;
      result = driver().context_synchronize();
    }
    check(result, Entry::context_synchronize);
  }
  collect(runtime);
  raise_failures(states);
}

namespace {

[[noreturn]] void refuse_stream(py::handle object, const char* argument) {
  accel::fail("DTypeError", argument, "a stream of the cuda backend, or None",
              accel::describe(object.ptr()),
              "create streams with backend.streams.create(), or adopt one with from_torch or "
              "from_handle");
}

}  // namespace

Stream* as_stream(py::handle object) {
  py::detail::make_caster<Stream> caster;
  if (!caster.load(object, false)) return nullptr;
  return py::detail::cast_op<Stream*>(caster);
}

StreamHandle resolve_stream(py::handle object, const Device& device, const char* argument) {
  if (object.is_none()) return current_stream(device);
  const Stream* const stream = as_stream(object);
  if (stream == nullptr) refuse_stream(object, argument);
  if (&stream->device() != &device) {
    accel::fail("DeviceError", argument, "a stream of device cuda:" + std::to_string(device.index),
                "one of cuda:" + std::to_string(stream->device().index));
  }
  return stream->handle;
}

}  // namespace accel_cuda
