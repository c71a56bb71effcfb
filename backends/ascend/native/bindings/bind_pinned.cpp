// The pinned pool for NPUs.

#include <memory>

#include "../runtime/acl_page_lock.hpp"
#include "bindings.hpp"
#include "pinned.hpp"

namespace accel_ascend {

namespace py = pybind11;

accel::PinnedPool& AclPinned::pool() {
  // A prefix of its own: locks on shared segments are of one library.
  static accel::PinnedPool& only =
      accel::PinnedPool::create(std::make_unique<AclPageLock>(), "accel-ascend-pinned");
  return only;
}

accel::StreamPoint AclPinned::point(py::handle stream) {
  if (!py::hasattr(stream, "submit_handle") || !py::hasattr(stream, "index")) {
    accel::fail("DTypeError", "stream", "a stream of the ascend backend",
                accel::describe(stream.ptr()), "create streams with backend.streams.create()");
  }
  // Behind what torch_npu has queued for it on the host.
  const auto handle = py::cast<std::uintptr_t>(stream.attr("submit_handle")());
  const int index = py::cast<int>(stream.attr("index"));
  return StreamState::of(index, reinterpret_cast<StreamHandle>(handle)).exact_point();
}

void bind_pinned(py::module_& module) {
  accel::PinnedModule<AclPinned>::bind(module);
  module.def("use_pinned_device", &AclPageLock::use_device, py::arg("device_index"));
  module.def("registration_works", [] {
    std::string why;
    const bool works = registration_works(why);
    return py::make_tuple(works, why);
  });
}

}  // namespace accel_ascend
