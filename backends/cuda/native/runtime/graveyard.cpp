#include "graveyard.hpp"

#include <atomic>
#include <mutex>

namespace accel_cuda {
namespace {

struct Graveyard {
  std::mutex mutex;
  std::vector<PyObject*> dead;
  std::atomic<bool> any{false};
};

Graveyard& graveyard() {
  static auto* only = new Graveyard;  // the driver's threads may outlive static destructors
  return *only;
}

}  // namespace

void bury(std::vector<PyObject*> owned) {
  if (owned.empty()) return;
  Graveyard& yard = graveyard();
  std::lock_guard<std::mutex> lock(yard.mutex);
  yard.dead.insert(yard.dead.end(), owned.begin(), owned.end());
  yard.any.store(true, std::memory_order_release);
}

void drain_graveyard() {
  Graveyard& yard = graveyard();
  if (!yard.any.load(std::memory_order_acquire)) return;
  std::vector<PyObject*> dead;
  {
    std::lock_guard<std::mutex> lock(yard.mutex);
    dead.swap(yard.dead);
    yard.any.store(false, std::memory_order_relaxed);
  }
  for (PyObject* object : dead) Py_DECREF(object);  // may run any code, so without the lock
}

}  // namespace accel_cuda
