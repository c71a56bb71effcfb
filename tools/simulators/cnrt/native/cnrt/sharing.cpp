// Memory and notifiers of another process.
#include "sharing.hpp"

#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "accel_sim/events.hpp"
#include "accel_sim/memory.hpp"
#include "accel_sim/sharing.hpp"
#include "api.hpp"

namespace cnrt {
namespace {

struct Mapping {
  std::string key;
  int count = 0;  // of maps that were not undone
};

struct Shared {
  std::mutex mutex;
  std::map<void*, std::string> exported;  // by the allocation's address
  std::map<void*, Mapping> mapped;
};

Shared& shared() {
  static Shared* const one = new Shared;
  return *one;
}

}  // namespace

void withdraw(void* pointer) {
  std::lock_guard<std::mutex> lock(shared().mutex);
  const auto found = shared().exported.find(pointer);
  if (found == shared().exported.end()) return;
  accel_sim::close_memory(found->second);
  shared().exported.erase(found);
}

}  // namespace cnrt

using namespace cnrt;

// A handle is a number of 64 bits: what the pointer would point to means nothing.
ACCEL_SIM_EXPORT cnrtRet_t cnrtAcquireMemHandle(cnrtIpcMemHandle* handle, void* pointer) {
  return guarded(__func__, [&] {
    cnrtIpcMemHandle& out = required(handle, "handle");
    const accel_sim::Where where = accel_sim::where_is(pointer);
    if (!where.base || where.base != pointer) {
      throw Failure(Kind::invalid_argument, "ptr is not the beginning of an allocation");
    }
    if (!where.on_device()) throw Failure(Kind::not_simulated, "sharing of host memory");
    std::lock_guard<std::mutex> lock(shared().mutex);
    std::string& key = shared().exported[pointer];
    if (key.empty()) key = accel_sim::export_memory(pointer, where.bytes, true);
    out = reinterpret_cast<cnrtIpcMemHandle>(accel_sim::packed_key(key));
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtMapMemHandle(void** pointer, cnrtIpcMemHandle handle, int flags) {
  return guarded(__func__, [&] {
    void*& out = required(pointer, "ptr");
    if (flags != 0) throw Failure(Kind::invalid_argument, "flags must be 0");
    accel_sim::current_device_index();
    const std::string key = accel_sim::unpacked_key(reinterpret_cast<std::uint64_t>(handle));
    std::lock_guard<std::mutex> lock(shared().mutex);
    out = accel_sim::import_memory(key);
    Mapping& mapping = shared().mapped[out];
    mapping.key = key;
    ++mapping.count;
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtUnMapMemHandle(void* pointer) {
  return guarded(__func__, [&] {
    std::lock_guard<std::mutex> lock(shared().mutex);
    const auto found = shared().mapped.find(pointer);
    if (found == shared().mapped.end()) {
      throw Failure(Kind::invalid_argument, "ptr was not mapped from a handle");
    }
    if (--found->second.count > 0) return;
    const std::string key = std::move(found->second.key);
    shared().mapped.erase(found);
    accel_sim::close_memory(key);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtIpcGetNotifierHandle(cnrtIpcNotifierHandle* handle,
                                                    cnrtNotifier_t notifier) {
  return guarded(__func__, [&] {
    cnrtIpcNotifierHandle& out = required(handle, "handle");
    const std::string text = accel_sim::export_event(accel_sim::event_of(notifier));
    std::memset(&out, 0, sizeof out);
    std::memcpy(&out, text.data(), text.size());
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtIpcOpenNotifierHandle(cnrtNotifier_t* notifier,
                                                     cnrtIpcNotifierHandle handle) {
  return guarded(__func__, [&] {
    cnrtNotifier_t& out = required(notifier, "notifier");
    char text[sizeof handle + 1] = {};
    std::memcpy(text, &handle, sizeof handle);
    out = &accel_sim::import_event(text);
  });
}
