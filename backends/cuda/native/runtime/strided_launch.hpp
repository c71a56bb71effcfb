// A strided copy or fill as launches of the kernels of strided.cu: unit, axes, grid.
#pragma once

#include <accel/strided_plan.hpp>

#include <cstdint>
#include <vector>

#include "kernels/strided_args.h"

namespace accel_cuda {

enum class StridedKernel { Copy, Fill, Rows, Tiles };

struct StridedLaunch {
  StridedKernel kernel = StridedKernel::Copy;
  unsigned unit = 1;  // bytes: 1, 2, 4, 8 or 16
  unsigned blocks = 1;
  union {
    accel_strided_args strided;  // Copy, Fill, Rows
    accel_tiles_args tiles;
  } args;

  const void* data() const { return &args; }
  std::size_t nbytes() const {
    return kernel == StridedKernel::Tiles ? sizeof args.tiles : sizeof args.strided;
  }
};

// `most_blocks` bounds the grid; blocks take turns. Usually one launch: more only for tensors of
// more axes that cannot be merged than a kernel takes. For a fill the plan has the destination's
// strides on both sides.
std::vector<StridedLaunch> plan_copy(const accel::StridedPlan& plan, std::uintptr_t dst,
                                     std::uintptr_t src, unsigned most_blocks);
std::vector<StridedLaunch> plan_fill(const accel::StridedPlan& plan, std::uintptr_t dst,
                                     std::uint8_t value, unsigned most_blocks);

}  // namespace accel_cuda
