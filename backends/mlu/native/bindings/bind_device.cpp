// What all devices of torch share, written on CnrtRuntime.

#include <accel/torch_device/module.hpp>

#include <memory>

#include "../cnrt/runtime.hpp"
#include "bindings.hpp"

accel::PinnedPool& accel::pinned_pool() {
  static PinnedPool& only =
      PinnedPool::create(std::make_unique<DevicePageLock>(), "accel-mlu-pinned");
  return only;
}

void accel_mlu::bind_device(pybind11::module_& module) {
  accel::bind_torch_device<CnrtPinned>(module);
}
