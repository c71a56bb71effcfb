#include "accel_sim/copies.hpp"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "accel_sim/modes.hpp"
#include "accel_sim/trace.hpp"
#include "accel_sim/vendor.hpp"

namespace accel_sim {
namespace {

// What a call is about, once its pointers are known to be good.
struct Ends {
  Where target;
  Where source;
  bool pageable() const {
    return target.place == Place::pageable || source.place == Place::pageable;
  }
};

// Device views of host memory, and host memory mapped as the device's, serve as either side.
bool may_be_device(const void* pointer, const Where& where) {
  return where.on_device() || is_device_address(pointer);
}
bool may_be_host(const Where& where) { return !where.on_device(); }

void require_direction(const void* target, const void* source, const Ends& ends,
                       Direction direction) {
  const auto refuse = [&](const char* which, const char* wanted) {
    throw Failure(Kind::invalid_argument, std::string("the ") + which + " is not " + wanted +
                                              " memory, as the direction of the copy says");
  };
  const bool device_target =
      direction == Direction::host_to_device || direction == Direction::device_to_device;
  const bool device_source =
      direction == Direction::device_to_host || direction == Direction::device_to_device;
  if (direction == Direction::inferred) return;
  if (device_target && !may_be_device(target, ends.target)) refuse("target", "device");
  if (!device_target && !may_be_host(ends.target)) refuse("target", "host");
  if (device_source && !may_be_device(source, ends.source)) refuse("source", "device");
  if (!device_source && !may_be_host(ends.source)) refuse("source", "host");
}

void require_peers(const Ends& ends) {
  if (!modes().strict || vendor().peers_enabled || !ends.target.on_device() || !ends.source.on_device()) return;
  const int target = ends.target.device;
  const int source = ends.source.device;
  if (target < 0 || source < 0 || target == source) return;
  if (device_at(target).peer_enabled(source) || device_at(source).peer_enabled(target)) return;
  throw Failure(Kind::wrong_device, "devices " + std::to_string(source) + " and " +
                                        std::to_string(target) + " have no peer access enabled");
}

Ends checked(const Copy& what) {
  if (what.bytes > what.target_room) {
    throw Failure(Kind::invalid_argument, "a copy of " + std::to_string(what.bytes) +
                                              " bytes into room for " +
                                              std::to_string(what.target_room));
  }
  if (!what.target || !what.source) throw Failure(Kind::invalid_argument, "a copy has no address");
  host_of(what.target, what.bytes);
  host_of(what.source, what.bytes);
  const Ends ends{where_is(what.target), where_is(what.source)};
  require_direction(what.target, what.source, ends, what.direction);
  require_peers(ends);
  return ends;
}

std::size_t span_of(std::size_t pitch, std::size_t width, std::size_t height) {
  if (height == 0 || width == 0) return 0;
  if (height - 1 > (SIZE_MAX - width) / pitch) {
    throw Failure(Kind::invalid_argument, "pitch times height is more than the address space");
  }
  return pitch * (height - 1) + width;
}

Ends checked(const Copy2d& what) {
  if (what.width == 0 || what.height == 0) {
    throw Failure(Kind::invalid_argument, "a 2-D copy of " + std::to_string(what.width) +
                                              " bytes by " + std::to_string(what.height) + " rows");
  }
  if (what.width > what.target_pitch || what.width > what.source_pitch) {
    throw Failure(Kind::invalid_argument,
                  "a 2-D copy of rows of " + std::to_string(what.width) + " bytes with pitches " +
                      std::to_string(what.target_pitch) + " (target) and " +
                      std::to_string(what.source_pitch) + " (source)");
  }
  if (!what.target || !what.source) throw Failure(Kind::invalid_argument, "a copy has no address");
  host_of(what.target, span_of(what.target_pitch, what.width, what.height));
  host_of(what.source, span_of(what.source_pitch, what.width, what.height));
  const Ends ends{where_is(what.target), where_is(what.source)};
  require_direction(what.target, what.source, ends, what.direction);
  require_peers(ends);
  return ends;
}

void run(const Copy& what) {
  if (what.bytes == 0) return;
  std::memmove(host_of(what.target, what.bytes), host_of(what.source, what.bytes), what.bytes);
}

void run(const Copy2d& what) {
  char* target = static_cast<char*>(
      host_of(what.target, span_of(what.target_pitch, what.width, what.height)));
  const char* source = static_cast<const char*>(
      host_of(what.source, span_of(what.source_pitch, what.width, what.height)));
  for (std::size_t row = 0; row < what.height; ++row) {
    std::memmove(target + row * what.target_pitch, source + row * what.source_pitch, what.width);
  }
}

// Submits, and waits when a host side is pageable: the memory may change as soon as the call
// returns.
void start(const char* name, std::uint64_t bytes, bool pageable, Stream& stream,
           std::function<void()> body) {
  if (pageable && stream.capture()) {
    throw Failure(Kind::capture, "a copy of pageable memory cannot be captured");
  }
  Task task{name, nullptr, bytes};
  if (const Fault* planned = fault("copy_stalls")) {
    const std::uint64_t ms = planned->ms;
    task.waits = true;
    body = [ms, body = std::move(body)] {
      stall(ms);
      body();
    };
  }
  task.run = std::move(body);
  submit(stream, std::move(task));
  if (pageable) stream.drain();
}

template <typename What>
void run_now(const char* name, const What& what, std::uint64_t bytes) {
  const std::uint64_t begin = tracing() ? now_ns() : 0;
  run(what);
  if (tracing()) {
    trace(name, has_current_device() ? current_device_index() : -1, -1, begin, now_ns(), bytes);
  }
}

}  // namespace

void copy(const char* name, const Copy& what) {
  if (what.bytes == 0) return;
  checked(what);
  run_now(name, what, what.bytes);
}

void copy_async(const char* name, const Copy& what, Stream& stream) {
  if (what.bytes == 0) return;
  const Ends ends = checked(what);
  start(name, what.bytes, ends.pageable(), stream, [what] { run(what); });
}

void copy_2d(const char* name, const Copy2d& what) {
  checked(what);
  run_now(name, what, what.width * what.height);
}

void copy_2d_async(const char* name, const Copy2d& what, Stream& stream) {
  const Ends ends = checked(what);
  start(name, what.width * what.height, ends.pageable(), stream, [what] { run(what); });
}

void copy_batch_async(const char* name, const Copy* items, std::size_t count, std::size_t* failed,
                      Stream& stream) {
  std::vector<Copy> kept(items, items + count);
  std::uint64_t bytes = 0;
  bool pageable = false;
  for (std::size_t index = 0; index < count; ++index) {
    try {
      pageable = checked(kept[index]).pageable() || pageable;
    } catch (...) {
      if (failed) *failed = index;
      throw;
    }
    bytes += kept[index].bytes;
  }
  start(name, bytes, pageable, stream, [kept = std::move(kept)] {
    for (const Copy& one : kept) run(one);
  });
}

void fill(const char* name, void* target, std::size_t room, int value, std::size_t bytes) {
  if (bytes > room) {
    throw Failure(Kind::invalid_argument, "a fill of " + std::to_string(bytes) +
                                              " bytes into room for " + std::to_string(room));
  }
  if (!target) throw Failure(Kind::invalid_argument, "a fill has no address");
  if (bytes == 0) return;
  const std::uint64_t begin = tracing() ? now_ns() : 0;
  std::memset(host_of(target, bytes), value, bytes);
  if (tracing()) {
    trace(name, has_current_device() ? current_device_index() : -1, -1, begin, now_ns(), bytes);
  }
}

void fill_async(const char* name, void* target, std::size_t room, int value, std::size_t bytes,
                Stream& stream) {
  if (bytes > room) {
    throw Failure(Kind::invalid_argument, "a fill of " + std::to_string(bytes) +
                                              " bytes into room for " + std::to_string(room));
  }
  if (!target) throw Failure(Kind::invalid_argument, "a fill has no address");
  if (bytes == 0) return;
  host_of(target, bytes);
  submit(stream, {name, [=] { std::memset(host_of(target, bytes), value, bytes); }, bytes});
}

}  // namespace accel_sim
