#include <accel/torch_device/bind_launch.hpp>

#include "../../src/accel_mlu/kernels/copy_launch.h"
#include "../bindings/bindings.hpp"
#include "kernel_library.hpp"

void accel_mlu::bind_launch(pybind11::module_& module) {
  pybind11::module_ m = module.def_submodule("launch", "BANG C kernels, launched through CNRT.");
  // Cores may write neighbouring bytes.
  accel::bind_kernel_launches<KernelLibrary>(m, {1, ACCEL_MLU_ARGS_BYTES});
}
