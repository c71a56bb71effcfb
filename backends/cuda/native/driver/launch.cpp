#include "launch.hpp"

#include <algorithm>

namespace accel_cuda {
namespace {

LaunchConfig config_of(unsigned grid, unsigned block, unsigned shared_bytes, StreamHandle stream,
                       unsigned cluster, LaunchAttribute* attribute) {
  *attribute = {kLaunchClusterDimension, 0, {cluster, 1, 1}};
  return {{grid, 1, 1}, {block, 1, 1}, shared_bytes, stream, attribute, 1};
}

}  // namespace

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
  // Now rather than at the first launch, where loading may wait for all work of the device, and so
  // for a stream that is held. A driver that will not says why at the launch.
  if (driver().function_load != nullptr) driver().function_load(function);
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

int resident_clusters(const Device& device, Function function, unsigned cluster, unsigned block,
                      unsigned shared_bytes) {
  const int multiprocessors = device.properties().multiprocessors;
  if (cluster == 1 || driver().occupancy_clusters == nullptr) {
    return std::max(1, resident_blocks(device, function, block, shared_bytes) * multiprocessors /
                           static_cast<int>(cluster));
  }
  Current current(device);
  if (cluster > kPortableCluster) {
    ACCEL_CUDA_CALL(function_set_attribute, function, kFunctionClusterNotPortable, 1);
  }
  LaunchAttribute attribute;
  const LaunchConfig config = config_of(cluster, block, shared_bytes, nullptr, cluster, &attribute);
  int clusters = 0;
  ACCEL_CUDA_CALL(occupancy_clusters, &clusters, function, &config);
  return std::max(1, clusters);
}

void launch_clusters(const Device& device, Function function, unsigned grid, unsigned cluster,
                     unsigned block, unsigned shared_bytes, StreamHandle stream, const void* args) {
  if (cluster == 1) {
    launch(device, function, {grid}, block, shared_bytes, stream, args);
    return;
  }
  LaunchAttribute attribute;
  const LaunchConfig config = config_of(grid, block, shared_bytes, stream, cluster, &attribute);
  void* parameters[] = {const_cast<void*>(args)};
  ACCEL_CUDA_CALL(launch_kernel_ex, &config, function, parameters, nullptr);
}

}  // namespace accel_cuda
