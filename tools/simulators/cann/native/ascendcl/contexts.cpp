#include "contexts.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "api.hpp"

namespace ascendcl {
namespace {

struct Context {
  int device;
  bool primary;
};

struct Contexts {
  std::mutex mutex;
  std::unordered_map<void*, std::unique_ptr<Context>> live;
  std::map<int, Context*> primary;
};

Contexts& contexts() {
  static Contexts* const one = new Contexts;
  return *one;
}

thread_local Context* current = nullptr;

Context* alive(void* handle) {
  Contexts& all = contexts();
  std::lock_guard<std::mutex> lock(all.mutex);
  auto found = all.live.find(handle);
  return found == all.live.end() ? nullptr : found->second.get();
}

}  // namespace

void* primary_context(int device) {
  accel_sim::device_at(device);
  Contexts& all = contexts();
  std::lock_guard<std::mutex> lock(all.mutex);
  Context*& context = all.primary[device];
  if (!context) {
    auto fresh = std::make_unique<Context>(Context{device, true});
    context = fresh.get();
    all.live[context] = std::move(fresh);
  }
  return context;
}

void* current_context() {
  const int device = accel_sim::current_device_index();
  if (!current || !alive(current) || current->device != device) {
    current = static_cast<Context*>(primary_context(device));
  }
  return current;
}

void set_current_context(void* handle) {
  Context* context = alive(handle);
  if (!context) throw Failure(Kind::invalid_handle, "not a live context");
  accel_sim::set_current_device(context->device);
  current = context;
}

void* create_context(int device) {
  accel_sim::device_at(device);
  auto fresh = std::make_unique<Context>(Context{device, false});
  Context* context = fresh.get();
  {
    Contexts& all = contexts();
    std::lock_guard<std::mutex> lock(all.mutex);
    all.live[context] = std::move(fresh);
  }
  set_current_context(context);
  return context;
}

void destroy_context(void* handle) {
  Contexts& all = contexts();
  std::lock_guard<std::mutex> lock(all.mutex);
  auto found = all.live.find(handle);
  if (found == all.live.end()) throw Failure(Kind::invalid_handle, "not a live context");
  if (found->second->primary) {
    throw Failure(Kind::invalid_argument, "the primary context ends with a reset of its device");
  }
  all.live.erase(found);
}

void forget_current_context() {
  current = nullptr;
  accel_sim::clear_current_device();
}

}  // namespace ascendcl
