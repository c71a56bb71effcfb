// Events.
#include "accel_sim/events.hpp"

#include <cstring>

#include "accel_sim/sharing.hpp"
#include "api.hpp"

using namespace ascendcl;

namespace {

constexpr std::uint32_t kTimeLine = 0x8;
constexpr std::uint32_t kIpcFlag = 0x40;
constexpr std::uint32_t kKnownFlags = 0x7B;
constexpr std::size_t kHandleBytes = 64;

int create(const char* name, void** event, std::uint32_t flags) {
  return guarded(name, [&] {
    void*& out = required(event, "event");
    if (flags == 0 || (flags & ~kKnownFlags) != 0) {
      throw Failure(Kind::invalid_argument,
                    "event flag " + std::to_string(flags) + " is not known");
    }
    const bool interprocess = (flags & kIpcFlag) != 0;
    if (interprocess) require_release(805, "an event for use between processes");
    if (interprocess && flags != kIpcFlag) {
      throw Failure(Kind::invalid_argument, "the IPC flag stands alone");
    }
    accel_sim::current_device_index();
    out = &accel_sim::create_event((flags & kTimeLine) != 0, interprocess);
  });
}

struct EventHandle {
  char text[kHandleBytes];
};

}  // namespace

ACL_EXPORT int aclrtCreateEvent(void** event) { return create("aclrtCreateEvent", event, 0x9); }

ACL_EXPORT int aclrtCreateEventWithFlag(void** event, std::uint32_t flags) {
  return create("aclrtCreateEventWithFlag", event, flags);
}

ACL_EXPORT int aclrtCreateEventExWithFlag(void** event, std::uint32_t flags) {
  return create("aclrtCreateEventExWithFlag", event, flags);
}

ACL_EXPORT int aclrtDestroyEvent(void* event) {
  return guarded("aclrtDestroyEvent", [&] { accel_sim::destroy_event(event); });
}

ACL_EXPORT int aclrtRecordEvent(void* event, void* stream) {
  return guarded("aclrtRecordEvent", [&] {
    accel_sim::event_of(event).record(accel_sim::stream_of(stream), "aclrtRecordEvent");
  });
}

ACL_EXPORT int aclrtResetEvent(void* event, void* stream) {
  return guarded("aclrtResetEvent", [&] {
    accel_sim::stream_of(stream);
    accel_sim::event_of(event).reset();
  });
}

ACL_EXPORT int aclrtStreamWaitEvent(void* stream, void* event) {
  return guarded("aclrtStreamWaitEvent", [&] {
    accel_sim::event_of(event).wait_on(accel_sim::stream_of(stream), "aclrtStreamWaitEvent");
  });
}

ACL_EXPORT int aclrtStreamWaitEventWithTimeout(void* stream, void* event, std::int32_t) {
  return guarded("aclrtStreamWaitEventWithTimeout", [&] {
    accel_sim::event_of(event).wait_on(accel_sim::stream_of(stream),
                                       "aclrtStreamWaitEventWithTimeout");
  });
}

ACL_EXPORT int aclrtQueryEvent(void* event, int* status) {
  return guarded("aclrtQueryEvent", [&] {
    required(status, "status") = accel_sim::event_of(event).complete() ? 0 : 1;
  });
}

ACL_EXPORT int aclrtQueryEventStatus(void* event, int* status) {
  return guarded("aclrtQueryEventStatus", [&] {
    required(status, "status") = accel_sim::event_of(event).complete() ? 1 : 0;
  });
}

ACL_EXPORT int aclrtQueryEventWaitStatus(void* event, int* status) {
  return guarded("aclrtQueryEventWaitStatus", [&] {
    required(status, "status") = accel_sim::event_of(event).complete() ? 0 : 1;
  });
}

ACL_EXPORT int aclrtSynchronizeEvent(void* event) {
  return guarded("aclrtSynchronizeEvent", [&] { accel_sim::event_of(event).synchronize(); });
}

ACL_EXPORT int aclrtSynchronizeEventWithTimeout(void* event, std::int32_t timeout) {
  return guarded("aclrtSynchronizeEventWithTimeout", [&] {
    try {
      accel_sim::event_of(event).synchronize(timeout);
    } catch (const Failure& failure) {
      if (failure.kind() != Kind::timeout) throw;
      throw Failure(kEventTimeout, failure.what());
    }
  });
}

ACL_EXPORT int aclrtEventElapsedTime(float* ms, void* start, void* end) {
  return guarded("aclrtEventElapsedTime", [&] {
    required(ms, "ms") = static_cast<float>(
        accel_sim::elapsed_ms(accel_sim::event_of(start), accel_sim::event_of(end)));
  });
}

ACL_EXPORT int aclrtEventGetTimestamp(void* event, std::uint64_t* microseconds) {
  return guarded("aclrtEventGetTimestamp", [&] {
    required(microseconds, "timestamp") = accel_sim::event_of(event).time_ns() / 1000;
  });
}

ACL_EXPORT int aclrtIpcGetEventHandle(void* event, EventHandle* handle) {
  return guarded("aclrtIpcGetEventHandle", [&] {
    require_release(805, "aclrtIpcGetEventHandle");
    EventHandle& out = required(handle, "handle");
    const std::string text = accel_sim::export_event(accel_sim::event_of(event));
    std::memset(&out, 0, sizeof out);
    std::memcpy(out.text, text.c_str(), text.size());
  });
}

ACL_EXPORT int aclrtIpcOpenEventHandle(EventHandle handle, void** event) {
  return guarded("aclrtIpcOpenEventHandle", [&] {
    require_release(805, "aclrtIpcOpenEventHandle");
    void*& out = required(event, "event");
    handle.text[kHandleBytes - 1] = 0;
    out = &accel_sim::import_event(handle.text);
  });
}
