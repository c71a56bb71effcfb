// What all devices of torch share, written on AclRuntime; and registering host memory.

#include <accel/torch_device/module.hpp>

#include <memory>

#include "../acl/runtime.hpp"
#include "../runtime/acl_page_lock.hpp"
#include "bindings.hpp"

namespace accel {

PinnedPool& pinned_pool() {
  // A prefix of its own: locks on shared segments are of one library.
  static PinnedPool& only = PinnedPool::create(std::make_unique<accel_ascend::AclPageLock>(),
                                               "accel-ascend-pinned");
  return only;
}

}  // namespace accel

namespace accel_ascend {

void bind_device(pybind11::module_& module) {
  accel::bind_torch_device<AclPinned>(module);
  module.def("registration_works", [] {
    std::string why;
    const bool works = AclPageLock::works(why);
    return pybind11::make_tuple(works, why);
  });
}

}  // namespace accel_ascend
