// A quantise or dequantise, made into launches. Knows addresses and strides only: no Python, no
// driver.
#pragma once

#include <accel/quantize_problem.hpp>

#include <cstddef>
#include <vector>

#include "kernels/quantize_args.h"
#include "tools.hpp"

namespace accel_cuda::arith {

struct QuantizeLaunch {
  Variant variant;
  unsigned grid = 1, block = 256, shared_bytes = 0;
  unsigned cluster = 1;      // neighbouring blocks that are one cluster
  bool takes_turns = false;  // fewer clusters do the same, one piece after another
  bool by_columns = false;
  accel_segment_args segments = {};
  accel_column_args columns = {};
  std::size_t workspace = 0;  // zeroed bytes, whose address goes into columns.workspace

  const void* args() const {
    return by_columns ? static_cast<const void*>(&columns) : static_cast<const void*>(&segments);
  }
};

// What a launch is cut by.
struct ChipLimits {
  int multiprocessors = 1;
  int cluster = 1;  // most blocks of a cluster (kernels/cluster.h); 0: keep nothing in its memory
  int shared_bytes = 48 << 10;  // of a block

  static ChipLimits of(const Device& device);
};

// `back` for dequantising. Empty when there is nothing to do.
std::vector<QuantizeLaunch> plan_quantize(const accel::quantize::Problem& problem, bool back,
                                          const ChipLimits& chip);

}  // namespace accel_cuda::arith
