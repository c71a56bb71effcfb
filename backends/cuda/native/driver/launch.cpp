#include "launch.hpp"

namespace accel_cuda {

ModuleHandle load_module(const Device& device, const std::string& cubin) {
  Current current(device);
  ModuleHandle module = nullptr;
  ACCEL_CUDA_CALL(module_load, &module, cubin.data());
  return module;
}

Function find_function(const Device& device, ModuleHandle module, const char* name,
                       unsigned dynamic_shared) {
  Current current(device);
  Function function = nullptr;
  ACCEL_CUDA_CALL(module_function, &function, module, name);
  // Else the driver loads it at the first launch, which then waits for whatever is running.
  if (driver().function_load != nullptr) ACCEL_CUDA_CALL(function_load, function);
  if (dynamic_shared > 48u << 10 && driver().function_set_attribute != nullptr) {
    ACCEL_CUDA_CALL(function_set_attribute, function, kFunctionMaxDynamicShared,
                    static_cast<int>(dynamic_shared));
  }
  return function;
}

int resident_blocks(const Device& device, Function function, unsigned block,
                    unsigned shared_bytes) {
  if (driver().occupancy_blocks == nullptr) return 1;
  Current current(device);
  int blocks = 0;
  ACCEL_CUDA_CALL(occupancy_blocks, &blocks, function, static_cast<int>(block), shared_bytes);
  return blocks;
}

}  // namespace accel_cuda
