// Notifiers.
#include "accel_sim/events.hpp"

#include "api.hpp"
#include "queues.hpp"

using namespace cnrt;

namespace {

constexpr unsigned kKnownFlags = CNRT_NOTIFIER_DISABLE_TIMING_SW |
                                 CNRT_NOTIFIER_DISABLE_TIMING_ALL | CNRT_NOTIFIER_INTERPROCESS;

int create(const char* name, cnrtNotifier_t* notifier, unsigned int flags) {
  return guarded(name, [&] {
    cnrtNotifier_t& out = required(notifier, "pNotifier");
    if (flags & ~kKnownFlags) {
      throw Failure(Kind::invalid_argument, "notifier flag " + std::to_string(flags));
    }
    const bool interprocess = (flags & CNRT_NOTIFIER_INTERPROCESS) != 0;
    const bool untimed = (flags & CNRT_NOTIFIER_DISABLE_TIMING_ALL) != 0;
    if (interprocess) require_614("a notifier for use between processes");
    if (interprocess && !untimed) {
      throw Failure(Kind::invalid_argument, "an interprocess notifier is one without timing");
    }
    accel_sim::current_device_index();
    out = &accel_sim::create_event(flags == CNRT_NOTIFIER_DEFAULT, interprocess);
  });
}

int place(const char* name, cnrtNotifier_t notifier, cnrtQueue_t queue, unsigned int flags) {
  return guarded(name, [&] {
    if (flags != 0) throw Failure(Kind::invalid_argument, "flags must be 0 outside a capture");
    accel_sim::event_of(notifier).record(queue_of(queue), name);
  });
}

double milliseconds_between(cnrtNotifier_t start, cnrtNotifier_t end) {
  const accel_sim::Event& from = accel_sim::event_of(start);
  const accel_sim::Event& to = accel_sim::event_of(end);
  if (from.timing() && to.timing() && !(from.recorded() && to.recorded())) {
    throw Failure(cnrtErrorCndrvFuncCall, "a notifier was never placed");
  }
  return accel_sim::elapsed_ms(from, to);
}

}  // namespace

ACCEL_SIM_EXPORT cnrtRet_t cnrtNotifierCreate(cnrtNotifier_t* notifier) {
  return create(__func__, notifier, CNRT_NOTIFIER_DEFAULT);
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtNotifierCreateWithFlags(cnrtNotifier_t* notifier,
                                                       unsigned int flags) {
  return create(__func__, notifier, flags);
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtNotifierDestroy(cnrtNotifier_t notifier) {
  return guarded(__func__, [&] { accel_sim::destroy_event(notifier); });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtPlaceNotifier(cnrtNotifier_t notifier, cnrtQueue_t queue) {
  return place(__func__, notifier, queue, 0);
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtPlaceNotifierWithFlags(cnrtNotifier_t notifier, cnrtQueue_t queue,
                                                      unsigned int flags) {
  return place(__func__, notifier, queue, flags);
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtQueryNotifier(cnrtNotifier_t notifier) {
  return guarded(__func__, [&] {
    if (!accel_sim::event_of(notifier).complete()) {
      throw Failure(Kind::not_ready, "the notifier was not reached yet");
    }
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtWaitNotifier(cnrtNotifier_t notifier) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtWaitNotifier");
    accel_sim::event_of(notifier).synchronize();
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtNotifierElapsedTime(cnrtNotifier_t start, cnrtNotifier_t end,
                                                   float* ms) {
  return guarded(__func__, [&] {
    required(ms, "ms") = static_cast<float>(milliseconds_between(start, end));
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtNotifierDuration(cnrtNotifier_t start, cnrtNotifier_t end,
                                                float* us) {
  return guarded(__func__, [&] {
    required(us, "us") = static_cast<float>(milliseconds_between(start, end) * 1e3);
  });
}
