// upload_small: numbers of the host to the device in the arguments of launches.
#pragma once

#include <pybind11/pybind11.h>

#include "movers.hpp"

namespace accel_cuda::kv {

void upload_small(Kernels& kernels, pybind11::handle dst, pybind11::handle src,
                  pybind11::handle stream);

}  // namespace accel_cuda::kv
