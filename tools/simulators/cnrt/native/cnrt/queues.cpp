// Queues and host functions.
#include "queues.hpp"

#include <algorithm>
#include <map>

#include "accel_sim/events.hpp"
#include "accel_sim/modes.hpp"
#include "api.hpp"

namespace cnrt {
namespace {

constexpr int kDefaultPriority = 7;
constexpr int kLeastPriority = 7;

}  // namespace

accel_sim::Stream& queue_of(cnrtQueue_t queue) {
  if (pose().is_614 && queue == cnrtQueueLegacy) return accel_sim::stream_of(nullptr);
  if (!pose().is_614 || queue != cnrtQueuePerThread) return accel_sim::stream_of(queue);
  // Lives as long as the process: another thread may still wait for its work after this one ended.
  thread_local std::map<int, accel_sim::Stream*> own;
  accel_sim::Stream*& stream = own[accel_sim::current_device_index()];
  if (!stream) stream = &accel_sim::create_stream(accel_sim::current_device(), kDefaultPriority, 0);
  return *stream;
}

void require_outside_host_function(const char* name) {
  if (!accel_sim::modes().strict || !accel_sim::inside_host_function()) return;
  throw Failure(cnrtErrorCndrvFuncCall, std::string(name) + " inside a host function");
}

}  // namespace cnrt

using namespace cnrt;

namespace {

int create(const char* name, cnrtQueue_t* queue, unsigned int flags, int priority) {
  return guarded(name, [&] {
    cnrtQueue_t& out = required(queue, "pQueue");
    require_outside_host_function(name);
    if (flags != 0) throw Failure(Kind::invalid_argument, "flags must be 0");
    const int clamped = std::min(std::max(priority, 0), kLeastPriority);
    out = accel_sim::create_stream(accel_sim::current_device(),
                                   static_cast<std::uint32_t>(clamped), 0)
              .handle();
  });
}

}  // namespace

ACCEL_SIM_EXPORT cnrtRet_t cnrtQueueCreate(cnrtQueue_t* queue) {
  return create(__func__, queue, 0, kDefaultPriority);
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtQueueCreateWithPriority(cnrtQueue_t* queue, unsigned int flags,
                                                       int priority) {
  return create(__func__, queue, flags, priority);
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtQueueDestroy(cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtQueueDestroy");
    accel_sim::retire_stream(queue);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtQueueQuery(cnrtQueue_t handle) {
  return guarded(__func__, [&] {
    accel_sim::Stream& queue = queue_of(handle);
    if (const accel_sim::Error error = queue.peek_error()) throw Failure(error.code, error.text);
    if (!queue.idle()) throw Failure(Kind::not_ready, "the queue has work left");
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtQueueSync(cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtQueueSync");
    accel_sim::synchronize_stream(queue_of(queue));
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtQueueGetPriority(cnrtQueue_t queue, int* priority) {
  return guarded(__func__, [&] {
    required(priority, "priority") = static_cast<int>(queue_of(queue).priority());
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtQueueWaitNotifier(cnrtNotifier_t notifier, cnrtQueue_t queue,
                                                 unsigned int flags) {
  return guarded(__func__, [&] {
    if (flags != 0) throw Failure(Kind::invalid_argument, "flags must be 0 outside a capture");
    accel_sim::event_of(notifier).wait_on(queue_of(queue), "cnrtQueueWaitNotifier");
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtInvokeHostFunc(cnrtQueue_t queue, void (*function)(void*),
                                              void* argument) {
  return guarded(__func__, [&] {
    if (!function) throw Failure(Kind::null_pointer, "fn is a null pointer");
    accel_sim::launch_host(queue_of(queue), "cnrtInvokeHostFunc", [=] { function(argument); });
  });
}
