// The kernels that copies launch, loaded for a device when the first copy needs one.
#pragma once

#include <pybind11/pybind11.h>

#include "../driver/launch.hpp"
#include "kernels/pieces_args.h"
#include "strided_launch.hpp"

namespace accel_cuda {

class CopyKernels {
 public:
  // Finds or compiles them on the first call for the device, which may wait for all its work: the
  // backend makes that call when it is built. Needs the GIL; what it returns does not.
  static const CopyKernels& of(const Device& device);

  // The device's context must be current.
  void launch(const StridedLaunch& copy, StreamHandle stream) const;
  void launch_pieces(const accel_pieces_args& args, StreamHandle stream) const;
  // Any alignment; both sides within the device's reach.
  void launch_flat(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes,
                   StreamHandle stream) const;

  // Blocks that fill the device.
  unsigned most_blocks() const;

 private:
  void launch_empty() const;
  explicit CopyKernels(const Device& device) : device_(device) {}

  const Device& device_;
  Function strided_[4][5] = {};  // by StridedKernel and log2 of the unit
  Function pieces_ = nullptr, flat_ = nullptr;
};

// `find(device_index, file, kernel)` gives the handle of a kernel of this package.
void use_kernels(pybind11::object find);

}  // namespace accel_cuda
