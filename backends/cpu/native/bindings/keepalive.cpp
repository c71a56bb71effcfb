#include "keepalive.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace accel_cpu {
namespace {

struct Graveyard {
  std::mutex mutex;
  std::vector<PyObject*> dead;
  std::atomic<bool> any{false};
  std::atomic<bool> closed{false};
  std::atomic<int> draining{0};  // threads that are releasing references
  std::condition_variable drained;
};

// Releasing a reference may run any code, which may synchronise: that must not wait for itself.
thread_local int draining_here = 0;

Graveyard& graveyard() {
  static auto* only = new Graveyard;  // outlives static destructors, like the workers
  return *only;
}

}  // namespace

Keepalive::Keepalive(std::initializer_list<PyObject*> borrowed) {
  refs_.reserve(borrowed.size());
  for (PyObject* object : borrowed) add(object);
}

void Keepalive::add(PyObject* borrowed) {
  if (borrowed == nullptr || borrowed == Py_None) return;
  refs_.push_back(borrowed);
  Py_INCREF(borrowed);
}

Keepalive::~Keepalive() {
  if (refs_.empty()) return;
  auto& yard = graveyard();
  std::lock_guard<std::mutex> lock(yard.mutex);
  yard.dead.insert(yard.dead.end(), refs_.begin(), refs_.end());
  yard.any.store(true, std::memory_order_release);
}

void drain_graveyard() {
  auto& yard = graveyard();
  if (!yard.any.load(std::memory_order_acquire)) return;
  std::vector<PyObject*> dead;
  {
    std::lock_guard<std::mutex> lock(yard.mutex);
    dead.swap(yard.dead);
    ++yard.draining;  // before `any`: who sees that cleared sees this
    yard.any.store(false, std::memory_order_release);
  }
  ++draining_here;
  for (PyObject* object : dead) Py_DECREF(object);  // may run any code, so without the lock
  --draining_here;
  {
    std::lock_guard<std::mutex> lock(yard.mutex);
    --yard.draining;
  }
  yard.drained.notify_all();
}

void settle_graveyard() {
  drain_graveyard();
  auto& yard = graveyard();
  if (draining_here > 0 || yard.draining.load(std::memory_order_acquire) == 0) return;
  pybind11::gil_scoped_release released;  // they need it
  std::unique_lock<std::mutex> lock(yard.mutex);
  // Bounded: in a forked child the thread that counted itself in does not exist.
  yard.drained.wait_for(lock, std::chrono::seconds(1), [&] { return yard.draining.load() == 0; });
}

void drain_graveyard_from_worker() {
  auto& yard = graveyard();
  if (!yard.any.load(std::memory_order_acquire) || yard.closed.load()) return;
  pybind11::gil_scoped_acquire gil;
  drain_graveyard();
}

void close_graveyard() { graveyard().closed.store(true); }

}  // namespace accel_cpu
