// Loading compiled kernels and launching them.
//
//   ModuleHandle module = load_module(device, cubin);           // once for each source and device
//   Function copy = find_function(device, module, "copy_boxes"); // kept in the prepared objects
//   launch(device, copy, {blocks}, 256, 0, stream, &args);      // args: the kernel's one struct
#pragma once

#include <string>

#include "device.hpp"

namespace accel_cuda {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// Loads a cubin (or code object) into the device's context; it stays there until the process ends.
// Throws DriverFault when it does not fit the device.
ModuleHandle load_module(const Device& device, const std::string& cubin);

// The kernel of that name. `dynamic_shared` is the most shared memory, in bytes, that launches will
// ask for beyond what the kernel declares; more than 48 KiB has to be said beforehand.
Function find_function(const Device& device, ModuleHandle module, const char* name,
                       unsigned dynamic_shared = 0);

// Blocks of `function` that fit a multiprocessor at once.
int resident_blocks(const Device& device, Function function, unsigned block,
                    unsigned shared_bytes);

// Clusters of so many blocks that the device runs at once; those of one block too. To be asked before
// launches of clusters of more than 8.
int resident_clusters(const Device& device, Function function, unsigned cluster, unsigned block,
                      unsigned shared_bytes);

// As launch does, below, in clusters of so many neighbouring blocks; `grid` is a multiple of that.
void launch_clusters(const Device& device, Function function, unsigned grid, unsigned cluster,
                     unsigned block, unsigned shared_bytes, StreamHandle stream, const void* args);

// Queues one launch. `args` points to the kernel's only parameter, a struct, which is copied before
// this returns. The device's context must be current (Current), which lets a call that launches
// several kernels look once.
inline void launch(const Device&, Function function, Dim3 grid, unsigned block,
                   unsigned shared_bytes, StreamHandle stream, const void* args) {
  void* parameters[] = {const_cast<void*>(args)};
  ACCEL_CUDA_CALL(launch_kernel, function, grid.x, grid.y, grid.z, block, 1, 1, shared_bytes,
                  stream, parameters, nullptr);
}

}  // namespace accel_cuda
