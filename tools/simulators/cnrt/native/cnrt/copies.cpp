// Copies and fills. The queue comes before the direction, except in the 2-D form.
#include "accel_sim/copies.hpp"

#include "api.hpp"
#include "queues.hpp"

using namespace cnrt;
using accel_sim::Copy;
using accel_sim::Copy2d;
using accel_sim::Direction;

namespace {

Direction direction_of(int direction) {
  switch (direction) {
    case cnrtMemcpyHostToDev: return Direction::host_to_device;
    case cnrtMemcpyPeerToPeer:
    case cnrtMemcpyDevToDev: return Direction::device_to_device;
    case cnrtMemcpyDevToHost: return Direction::device_to_host;
    case cnrtMemcpyHostToHost: return Direction::host_to_host;
    case cnrtMemcpyNoDirection: return Direction::inferred;
    default:
      throw Failure(cnrtErrorMemcpyDirectionInvalid,
                    "there is no direction " + std::to_string(direction) + " of a copy");
  }
}

// Host memory on both sides is copied only by the calls that wait.
void require_a_device(Direction direction, const void* target, const void* source) {
  const bool host = direction == Direction::host_to_host ||
                    (direction == Direction::inferred && !accel_sim::is_device_address(target) &&
                     !accel_sim::is_device_address(source));
  if (host) throw Failure(Kind::not_supported, "an asynchronous copy inside the host");
}

int copy_async(const char* name, void* target, const void* source, std::size_t bytes,
               cnrtQueue_t queue, cnrtMemTransDir_t code) {
  return guarded(name, [&] {
    const Direction direction = direction_of(code);
    require_a_device(direction, target, source);
    accel_sim::copy_async(name, {target, bytes, source, bytes, direction}, queue_of(queue));
  });
}

void require_2d(const Copy2d& what) {
  if (what.target_pitch == 0 || what.source_pitch == 0) {
    throw Failure(Kind::invalid_argument, "a pitch of 0 bytes");
  }
}

void require_on(int device, const void* pointer, const char* which) {
  accel_sim::device_at(device);
  const accel_sim::Where where = accel_sim::where_is(pointer);
  if (where.on_device() && where.device == device) return;
  throw Failure(Kind::invalid_argument, std::string("the ") + which + " is not memory of device " +
                                            std::to_string(device));
}

}  // namespace

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemcpy(void* target, void* source, std::size_t bytes,
                                      cnrtMemTransDir_t direction) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtMemcpy");
    accel_sim::current_device_index();
    accel_sim::copy("cnrtMemcpy", {target, bytes, source, bytes, direction_of(direction)});
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemcpyAsync(void* target, void* source, std::size_t bytes,
                                           cnrtQueue_t queue, cnrtMemTransDir_t direction) {
  return copy_async(__func__, target, source, bytes, queue, direction);
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemcpyAsync_V2(void* target, void* source, std::size_t bytes,
                                              cnrtQueue_t queue, cnrtMemTransDir_t direction) {
  return copy_async(__func__, target, source, bytes, queue, direction);
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemcpyAsync_V3(void* target, void* source, std::size_t bytes,
                                              cnrtQueue_t queue, cnrtMemTransDir_t direction) {
  return copy_async(__func__, target, source, bytes, queue, direction);
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemcpy2D(void* target, std::size_t target_pitch, const void* source,
                                        std::size_t source_pitch, std::size_t width,
                                        std::size_t height, cnrtMemTransDir_t direction) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtMemcpy2D");
    const Copy2d what{target, target_pitch, source,
                      source_pitch, width, height, direction_of(direction)};
    require_2d(what);
    accel_sim::current_device_index();
    accel_sim::copy_2d("cnrtMemcpy2D", what);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemcpy2DAsync(void* target, std::size_t target_pitch,
                                             const void* source, std::size_t source_pitch,
                                             std::size_t width, std::size_t height,
                                             cnrtMemTransDir_t direction, cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    const Copy2d what{target, target_pitch, source,
                      source_pitch, width, height, direction_of(direction)};
    require_2d(what);
    require_a_device(what.direction, target, source);
    accel_sim::copy_2d_async("cnrtMemcpy2DAsync", what, queue_of(queue));
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemcpyPeer(void* target, int target_device, void* source,
                                          int source_device, std::size_t bytes) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtMemcpyPeer");
    require_on(target_device, target, "target");
    require_on(source_device, source, "source");
    accel_sim::copy("cnrtMemcpyPeer",
                    {target, bytes, source, bytes, Direction::device_to_device});
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemcpyPeerAsync(void* target, int target_device, void* source,
                                               int source_device, std::size_t bytes,
                                               cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    require_on(target_device, target, "target");
    require_on(source_device, source, "source");
    accel_sim::copy_async("cnrtMemcpyPeerAsync",
                          {target, bytes, source, bytes, Direction::device_to_device},
                          queue_of(queue));
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemset(void* pointer, int value, std::size_t bytes) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtMemset");
    accel_sim::current_device_index();
    accel_sim::fill("cnrtMemset", pointer, bytes, value, bytes);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMemsetAsync(void* pointer, int value, std::size_t bytes,
                                           cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    accel_sim::fill_async("cnrtMemsetAsync", pointer, bytes, value, bytes, queue_of(queue));
  });
}
