#include "bindings/bindings.hpp"

namespace accel_cuda {

void bind_coding(pybind11::module_& module) {
  module.def_submodule("coding");
}

}  // namespace accel_cuda
