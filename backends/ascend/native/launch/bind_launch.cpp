#include "bind_launch.hpp"

#include <accel/torch_device/bind_launch.hpp>

#include "../bindings/bindings.hpp"
#include "kernel_library.hpp"

namespace accel_ascend {

void bind_launch(pybind11::module_& module) {
  pybind11::module_ m = module.def_submodule("launch", "AscendC kernels, launched through ACL.");
  // Two cores must not write the same aligned 32 bytes.
  accel::bind_kernel_launches<launch::KernelLibrary>(m, {32, 16384});
}

}  // namespace accel_ascend
