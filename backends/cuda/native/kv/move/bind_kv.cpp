#include "bindings/bindings.hpp"

namespace accel_cuda {

void bind_kv(pybind11::module_& module) {
  module.def_submodule("kv");
}

}  // namespace accel_cuda
