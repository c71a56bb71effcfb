// The pinned pool of the CPU: pages locked by the operating system.

#include <memory>

#include "bindings.hpp"
#include "pinned.hpp"
#include "submit.hpp"

namespace accel_cpu {

accel::PinnedPool& CpuPinned::pool() {
  static accel::PinnedPool& only =
      accel::PinnedPool::create(std::make_unique<accel::SystemPageLock>(), "accel-pinned");
  return only;
}

void CpuPinned::release_finished() { drain_graveyard(); }

accel::StreamPoint CpuPinned::point(pybind11::handle stream) {
  return resolve_stream(stream)->point();
}

void bind_pinned(pybind11::module_& module) { accel::PinnedModule<CpuPinned>::bind(module); }

}  // namespace accel_cpu
