#include "bindings/bindings.hpp"

namespace accel_cuda {

void bind_quantize(pybind11::module_& module) {
  module.def_submodule("quantize");
}

}  // namespace accel_cuda
