#include "bindings/bindings.hpp"

namespace accel_cuda {

void bind_rope(pybind11::module_& module) {
  module.def_submodule("rope");
}

}  // namespace accel_cuda
