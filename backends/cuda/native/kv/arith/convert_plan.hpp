// A conversion of elements, made into launches of convert.cu. Knows addresses and strides only: no
// Python, no driver.
#pragma once

#include <accel/kv_address.h>
#include <accel/number_kind.hpp>

#include <cstdint>
#include <vector>

#include "kernels/convert_args.h"
#include "tools.hpp"

namespace accel_cuda::arith {

// One plane: its plan in elements, its kinds, and all that its bases are multiples of, or'ed
// together.
struct ElementPlane {
  accel_kv_elements plan = {};
  accel::NumberKind src = accel::NumberKind::F32, dst = accel::NumberKind::F32;
  std::uint64_t src_bases = 0, dst_bases = 0;

  // The plan in bytes of either side, to compare what is read with what is written.
  accel_kv_plane src_bytes() const;
  accel_kv_plane dst_bytes() const;
};

// Planes of one form of the kernel, but for bases, units and scales.
struct ConvertLaunch {
  Variant variant;
  accel_convert_args args = {};
  std::vector<std::size_t> planes;  // which plane each of args.plane is
  std::int64_t items = 1;           // of a unit, in the plane that has most

  // Blocks for so many units, at most most_units().
  unsigned blocks(std::int64_t units) const;
  std::int64_t most_units() const;
};

std::vector<ConvertLaunch> plan_convert(const std::vector<ElementPlane>& planes);

}  // namespace accel_cuda::arith
