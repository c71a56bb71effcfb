#include "event.hpp"

#include <accel/errors.hpp>

#include <cstring>
#include <mutex>
#include <unordered_map>

#include "ipc_envelope.hpp"
#include "pending.hpp"
#include "waiting.hpp"

namespace accel_cuda {
namespace {

// This process's inter-process events: the driver does not open a process's own.
std::unordered_map<std::string, std::weak_ptr<Event>>& shared_events() {
  static auto* only = new std::unordered_map<std::string, std::weak_ptr<Event>>;
  return *only;
}

}  // namespace

Event::Event(Runtime& runtime_, EventHandle handle, bool timing_, bool interprocess_, bool foreign)
    : runtime(runtime_),
      timing(timing_),
      interprocess(interprocess_),
      handle_(handle),
      foreign_(foreign) {}

Event::~Event() {
  if (!timing && !interprocess) {
    runtime.give_event(handle_);  // waits given before have their snapshot
    return;
  }
  auto& shared = shared_events();
  for (auto entry = shared.begin(); interprocess && entry != shared.end();) {
    entry = entry->second.expired() ? shared.erase(entry) : std::next(entry);
  }
  try {
    Current current(device());
    driver().event_destroy(handle_);  // the driver keeps what is still waited for
  } catch (const DriverFault&) {
    // The context is lost or the process ends: there is nothing left to release.
  }
}

std::shared_ptr<Event> Event::create(const Device& device, bool timing, bool interprocess) {
  if (timing && interprocess) {
    accel::fail_capability("events.timing", "cuda",
                           "the driver keeps no time for events between processes: make one event "
                           "for each");
  }
  if (interprocess && driver().ipc_get_event == nullptr) {
    accel::fail_capability("events.ipc", "cuda", "upgrade the driver");
  }
  Runtime& runtime = Runtime::of(device);
  Current current(device);
  EventHandle handle = nullptr;
  if (!timing && !interprocess) {
    handle = runtime.take_event();
  } else {
    ACCEL_CUDA_CALL(event_create, &handle,
                    interprocess ? kEventDisableTiming | kEventInterprocess : 0u);
  }
  return std::make_shared<Event>(runtime, handle, timing, interprocess, false);
}

void Event::record(StreamHandle stream) {
  Submission submission(runtime);
  ACCEL_CUDA_CALL(event_record, handle_, stream);
  recorded_ = true;
  captured_ = is_capturing(stream);
}

void Event::wait(StreamHandle stream) {
  if (!has_snapshot()) return;
  Submission submission(runtime);
  ACCEL_CUDA_CALL(stream_wait_event, stream, handle_, 0);
}

void Event::refuse_captured(const char* call) const {
  if (!captured_) return;
  accel::fail_message("StateError", std::string(call) +
                                        ": the event's newest record is part of a captured graph, "
                                        "which has no time of its own. Cure: record the event "
                                        "outside the capture");
}

bool Event::query() const {
  if (!has_snapshot()) return true;
  refuse_captured("event.query()");
  const Result result = driver().event_query(handle_);
  if (result == kNotReady) return false;
  check(result, Entry::event_query);
  return true;
}

void Event::synchronize() const {
  if (!has_snapshot()) return;
  refuse_captured("event.synchronize()");
  Current current(device());
  Result result = driver().event_query(handle_);
  if (result == kNotReady) {
    wait_interruptibly([&] {
      result = driver().event_query(handle_);
      return result != kNotReady;
    });
  }
  check(result, Entry::event_query);
  collect(runtime);
}

double Event::elapsed_ms(const Event& end) const {
  const auto refuse = [](const Event& event, const char* which) {
    if (!event.timing) {
      accel::fail_message("StateError", std::string("elapsed_time: the ") + which +
                                            " event was created without timing. Cure: "
                                            "backend.events.create(timing=True)");
    }
    if (!event.recorded_) {
      accel::fail_message("StateError", std::string("elapsed_time: the ") + which +
                                            " event was never recorded. Cure: record both events "
                                            "on a stream");
    }
    event.refuse_captured("elapsed_time");
  };
  refuse(*this, "start");
  refuse(end, "end");
  if (&end.runtime != &runtime) {
    accel::fail("DeviceError", "end",
                "an event of device cuda:" + std::to_string(device().index),
                "one of cuda:" + std::to_string(end.device().index));
  }
  if (&end == this) {
    if (!query()) {
      accel::fail_message("NotReadyError",
                          "elapsed_time: the event has not completed. Cure: synchronize it first");
    }
    return 0.0;
  }
  float milliseconds = 0;
  const Result result = driver().event_elapsed_time(&milliseconds, handle_, end.handle_);
  if (result == kNotReady) {
    accel::fail_message("NotReadyError",
                        "elapsed_time: one of the events has not completed. Cure: end.synchronize()"
                        " first");
  }
  check(result, Entry::event_elapsed_time);
  return static_cast<double>(milliseconds);
}

std::string Event::ipc_handle() {
  if (!interprocess) {
    accel::fail_message("StateError",
                        "the event was created without interprocess=True. Cure: "
                        "backend.events.create(interprocess=True)");
  }
  if (foreign_) {
    accel::fail_message("StateError",
                        "the event belongs to another process. Cure: hand on the handle that it "
                        "was opened with");
  }
  Current current(device());
  IpcEventHandle handle;
  ACCEL_CUDA_CALL(ipc_get_event, &handle, handle_);
  shared_events()[std::string(handle.bytes, sizeof handle.bytes)] = weak_from_this();
  return seal_ipc_handle(device(), handle);
}

std::shared_ptr<Event> Event::from_ipc_handle(const Device& device, const std::string& bytes) {
  const IpcEventHandle handle = open_ipc_handle(device, bytes);
  const std::string key(handle.bytes, sizeof handle.bytes);
  const auto own = shared_events().find(key);
  if (own != shared_events().end()) {
    if (auto event = own->second.lock()) return event;
  }
  if (driver().ipc_open_event == nullptr) {
    accel::fail_capability("events.ipc", "cuda", "upgrade the driver");
  }
  Current current(device);
  EventHandle opened = nullptr;
  const Result result = driver().ipc_open_event(&opened, handle);
  if (result != kSuccess) {
    if (is_sticky(result)) throw_driver_fault(result, Entry::ipc_open_event);
    accel::fail("ArgumentError", "handle", "the handle of a live event of another process",
                std::string("one that ") + entry_name(Entry::ipc_open_event) + " refuses with " +
                    result_name(result),
                "keep the event alive in the process that made it");
  }
  auto event = std::make_shared<Event>(Runtime::of(device), opened, false, true, true);
  return event;
}

}  // namespace accel_cuda
