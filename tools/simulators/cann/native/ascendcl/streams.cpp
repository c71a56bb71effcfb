// Streams and host functions.
#include "accel_sim/streams.hpp"

#include <cstring>

#include "accel_sim/modes.hpp"
#include "api.hpp"

using namespace ascendcl;

namespace {

constexpr std::uint32_t kMaxPriority = 7;
constexpr std::uint32_t kKnownFlags = 0x3F;

int create(const char* name, void** stream, std::uint32_t priority, std::uint32_t flags) {
  return guarded(name, [&] {
    void*& out = required(stream, "stream");
    if (priority > kMaxPriority) {
      throw Failure(Kind::invalid_argument,
                    "priority " + std::to_string(priority) + " is not one of 0 to 7");
    }
    if (flags & ~kKnownFlags) {
      throw Failure(Kind::invalid_argument, "flag " + std::to_string(flags) + " is not known");
    }
    out = accel_sim::create_stream(accel_sim::current_device(), priority, flags).handle();
  });
}

void require_outside_host_function(const char* name) {
  if (accel_sim::modes().strict && accel_sim::inside_host_function()) {
    throw Failure(Kind::invalid_argument, std::string(name) + " inside a host function");
  }
}

enum StreamAttribute { kFailureMode = 1, kOverflow = 2, kTag = 3, kCacheInfo = 4, kPriority = 5 };

}  // namespace

ACL_EXPORT int aclrtCreateStream(void** stream) {
  return create("aclrtCreateStream", stream, 0, 0);
}

ACL_EXPORT int aclrtCreateStreamWithConfig(void** stream, std::uint32_t priority,
                                           std::uint32_t flags) {
  return create("aclrtCreateStreamWithConfig", stream, priority, flags);
}

ACL_EXPORT int aclrtDestroyStream(void* stream) {
  return guarded("aclrtDestroyStream", [&] { accel_sim::destroy_stream(stream, false); });
}

ACL_EXPORT int aclrtDestroyStreamForce(void* stream) {
  return guarded("aclrtDestroyStreamForce", [&] { accel_sim::destroy_stream(stream, true); });
}

ACL_EXPORT int aclrtSynchronizeStream(void* stream) {
  return guarded("aclrtSynchronizeStream", [&] {
    require_outside_host_function("aclrtSynchronizeStream");
    accel_sim::synchronize_stream(accel_sim::stream_of(stream));
  });
}

ACL_EXPORT int aclrtSynchronizeStreamWithTimeout(void* stream, std::int32_t timeout) {
  return guarded("aclrtSynchronizeStreamWithTimeout", [&] {
    require_outside_host_function("aclrtSynchronizeStreamWithTimeout");
    accel_sim::synchronize_stream(accel_sim::stream_of(stream), timeout);
  });
}

ACL_EXPORT int aclrtStreamQuery(void* handle, int* status) {
  return guarded("aclrtStreamQuery", [&] {
    accel_sim::Stream& stream = accel_sim::stream_of(handle);
    required(status, "status") = stream.idle() ? 0 : 1;
    if (const accel_sim::Error error = stream.peek_error()) throw Failure(error.code, error.text);
  });
}

ACL_EXPORT int aclrtStreamAbort(void* stream) {
  return guarded("aclrtStreamAbort", [&] { accel_sim::stream_of(stream).abort(); });
}

ACL_EXPORT int aclrtStreamGetPriority(void* stream, std::uint32_t* priority) {
  return guarded("aclrtStreamGetPriority", [&] {
    required(priority, "priority") = accel_sim::stream_of(stream).priority();
  });
}

ACL_EXPORT int aclrtStreamGetFlags(void* stream, std::uint32_t* flags) {
  return guarded("aclrtStreamGetFlags",
                 [&] { required(flags, "flags") = accel_sim::stream_of(stream).flags(); });
}

ACL_EXPORT int aclrtStreamGetId(void* stream, std::int32_t* id) {
  return guarded("aclrtStreamGetId",
                 [&] { required(id, "streamId") = accel_sim::stream_of(stream).id(); });
}

ACL_EXPORT int aclrtCtxGetCurrentDefaultStream(void** stream) {
  return guarded("aclrtCtxGetCurrentDefaultStream",
                 [&] { required(stream, "stream") = accel_sim::stream_of(nullptr).handle(); });
}

ACL_EXPORT int aclrtDeviceGetStreamPriorityRange(std::int32_t* least, std::int32_t* greatest) {
  return guarded("aclrtDeviceGetStreamPriorityRange", [&] {
    required(least, "leastPriority") = static_cast<std::int32_t>(kMaxPriority);
    required(greatest, "greatestPriority") = 0;
  });
}

ACL_EXPORT int aclrtGetStreamAvailableNum(std::uint32_t* count) {
  return guarded("aclrtGetStreamAvailableNum", [&] {
    constexpr std::size_t kLimit = 1984;
    const std::size_t used = accel_sim::current_device().streams().size();
    required(count, "streamCount") = static_cast<std::uint32_t>(used < kLimit ? kLimit - used : 0);
  });
}

ACL_EXPORT int aclrtSetStreamFailureMode(void* stream, std::uint64_t mode) {
  return guarded("aclrtSetStreamFailureMode", [&] {
    if (!stream) throw Failure(Kind::invalid_argument, "the default stream's mode is fixed");
    accel_sim::stream_of(stream).set_stop_on_failure(mode == 1);
  });
}

ACL_EXPORT int aclrtSetStreamAttribute(void* stream, int attribute, const std::uint64_t* value) {
  return guarded("aclrtSetStreamAttribute", [&] {
    accel_sim::Stream& known = accel_sim::stream_of(stream);
    const std::uint64_t given = required(value, "value");
    if (attribute == kFailureMode) {
      known.set_stop_on_failure(given == 1);
    } else if (attribute < kFailureMode || attribute > kPriority) {
      throw Failure(Kind::invalid_argument, "no stream attribute " + std::to_string(attribute));
    }
  });
}

ACL_EXPORT int aclrtLaunchHostFunc(void* stream, void (*function)(void*), void* argument) {
  return guarded("aclrtLaunchHostFunc", [&] {
    require_release(805, "aclrtLaunchHostFunc");
    if (!function) throw Failure(kInvalidParameter, "fn is a null pointer");
    accel_sim::launch_host(accel_sim::stream_of(stream), "aclrtLaunchHostFunc",
                           [=] { function(argument); });
  });
}
