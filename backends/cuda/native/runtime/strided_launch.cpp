#include "strided_launch.hpp"

#include <algorithm>
#include <cstring>

#include "copy_limits.hpp"

namespace accel_cuda {
namespace {

using Dim = accel::StridedPlan::Dim;

constexpr std::int64_t kTileFrom = ACCEL_TILE;  // of each side: shorter ones leave tiles empty

accel_strided_axis axis_of(const Dim& dim) {
  accel_strided_axis axis{};
  axis.extent = static_cast<unsigned long long>(dim.extent);
  axis.dst = dim.dst;
  axis.src = dim.src;
  unsigned bits = 0;
  while (bits < 32 && (1ull << bits) < axis.extent) ++bits;
  if (axis.extent < ACCEL_STRIDED_SMALL) {  // of larger ones no small copy can have any
    axis.shift = 31 + bits;
    axis.magic = static_cast<unsigned>((1ull << axis.shift) / axis.extent + 1);
  }
  return axis;
}

// The widest unit that divides everything that is added up to an address.
unsigned unit_of(const accel::StridedPlan& plan, std::uintptr_t dst, std::uintptr_t src) {
  std::uint64_t all = dst | src | plan.run();
  for (const Dim& dim : plan.dims()) {
    all |= static_cast<std::uint64_t>(dim.dst) | static_cast<std::uint64_t>(dim.src);
  }
  unsigned unit = 16;
  while (all % unit != 0) unit /= 2;
  return unit;
}

unsigned blocks_for(std::uint64_t work, std::uint64_t of_one, unsigned most) {
  const std::uint64_t wanted = (work + of_one - 1) / of_one;
  return static_cast<unsigned>(std::clamp<std::uint64_t>(wanted, 1, std::max(1u, most)));
}

StridedLaunch start(StridedKernel kernel, unsigned unit, std::uintptr_t dst, std::uintptr_t src) {
  StridedLaunch launch;
  launch.kernel = kernel;
  launch.unit = unit;
  std::memset(&launch.args, 0, sizeof launch.args);
  launch.args.strided.dst = dst;
  launch.args.strided.src = src;
  return launch;
}

// The copy as tiles, when its two sides have their units side by side along different axes.
bool plan_tiles(const std::vector<Dim>& axes, unsigned unit, std::uintptr_t dst, std::uintptr_t src,
                unsigned most_blocks, StridedLaunch& launch) {
  if (axes.size() < 2) return false;
  const Dim& along_dst = axes.back();
  if (along_dst.dst != unit || along_dst.src == unit || along_dst.extent < kTileFrom) return false;
  const auto along_src = std::find_if(axes.begin(), axes.end() - 1, [&](const Dim& dim) {
    return dim.src == unit && dim.extent >= kTileFrom;
  });
  if (along_src == axes.end() - 1 || axes.size() - 2 > ACCEL_STRIDED_AXES) return false;
  launch.kernel = StridedKernel::Tiles;
  launch.unit = unit;
  accel_tiles_args& args = launch.args.tiles;
  args = {};
  args.dst = dst;
  args.src = src;
  args.along_dst = axis_of(along_dst);
  args.along_src = axis_of(*along_src);
  args.tiles_along_dst = (args.along_dst.extent + ACCEL_TILE - 1) / ACCEL_TILE;
  args.tiles_along_src = (args.along_src.extent + ACCEL_TILE - 1) / ACCEL_TILE;
  args.tiles = args.tiles_along_dst * args.tiles_along_src;
  for (auto dim = axes.begin(); dim != axes.end() - 1; ++dim) {
    if (dim == along_src) continue;
    args.axis[args.axes++] = axis_of(*dim);
    args.tiles *= static_cast<unsigned long long>(dim->extent);
  }
  launch.blocks = blocks_for(args.tiles, 1, most_blocks);
  return true;
}

// The copy as rows of units: worth it when they are long, since indices are then divided once for
// many units.
bool plan_rows(const std::vector<Dim>& axes, unsigned unit, std::uintptr_t dst, std::uintptr_t src,
               unsigned most_blocks, StridedLaunch& launch) {
  const Dim& row = axes.back();
  if (static_cast<std::size_t>(row.extent) < copy_limits().rows_from ||
      axes.size() > ACCEL_STRIDED_AXES) {
    return false;
  }
  launch = start(StridedKernel::Rows, unit, dst, src);
  accel_strided_args& args = launch.args.strided;
  args.row = axis_of(row);
  const std::int64_t parts = (row.extent + ACCEL_ROW_PART - 1) / ACCEL_ROW_PART;
  args.units = static_cast<unsigned long long>(parts);
  for (auto dim = axes.begin(); dim != axes.end() - 1; ++dim) {
    args.axis[args.axes++] = axis_of(*dim);
    args.units *= static_cast<unsigned long long>(dim->extent);
  }
  args.axis[args.axes++] = axis_of({parts, row.dst * ACCEL_ROW_PART, row.src * ACCEL_ROW_PART});
  launch.blocks = blocks_for(args.units, ACCEL_STRIDED_THREADS / 32, most_blocks);
  return true;
}

// Launches over axes[first..]; those before were gone through by the caller.
void plan_units(const std::vector<Dim>& axes, std::size_t first, StridedLaunch launch,
                unsigned most_blocks, std::vector<StridedLaunch>& out) {
  accel_strided_args& args = launch.args.strided;
  if (axes.size() - first > ACCEL_STRIDED_AXES) {
    const Dim& outer = axes[first];
    for (std::int64_t i = 0; i < outer.extent; ++i) {
      StridedLaunch part = launch;
      part.args.strided.dst += static_cast<unsigned long long>(i * outer.dst);
      part.args.strided.src += static_cast<unsigned long long>(i * outer.src);
      plan_units(axes, first + 1, part, most_blocks, out);
    }
    return;
  }
  args.units = 1;
  args.axes = 0;
  for (std::size_t k = first; k < axes.size(); ++k) {
    args.axis[args.axes++] = axis_of(axes[k]);
    args.units *= static_cast<unsigned long long>(axes[k].extent);
  }
  launch.blocks =
      blocks_for(args.units, ACCEL_STRIDED_THREADS * ACCEL_STRIDED_UNROLL, most_blocks);
  out.push_back(launch);
}

std::vector<Dim> axes_of(const accel::StridedPlan& plan, unsigned unit) {
  std::vector<Dim> axes = plan.dims();
  const auto run = static_cast<std::int64_t>(plan.run() / unit);
  if (run > 1 || axes.empty()) axes.push_back({run, unit, unit});
  return axes;
}

}  // namespace

std::vector<StridedLaunch> plan_copy(const accel::StridedPlan& plan, std::uintptr_t dst,
                                     std::uintptr_t src, unsigned most_blocks) {
  const unsigned unit = unit_of(plan, dst, src);
  const std::vector<Dim> axes = axes_of(plan, unit);
  std::vector<StridedLaunch> launches;
  StridedLaunch whole;
  if (plan_tiles(axes, unit, dst, src, most_blocks, whole) ||
      plan_rows(axes, unit, dst, src, most_blocks, whole)) {
    launches.push_back(whole);
  } else {
    plan_units(axes, 0, start(StridedKernel::Copy, unit, dst, src), most_blocks, launches);
  }
  return launches;
}

std::vector<StridedLaunch> plan_fill(const accel::StridedPlan& plan, std::uintptr_t dst,
                                     std::uint8_t value, unsigned most_blocks) {
  const unsigned unit = unit_of(plan, dst, dst);
  StridedLaunch launch = start(StridedKernel::Fill, unit, dst, dst);
  launch.args.strided.value = 0x01010101u * value;
  std::vector<StridedLaunch> launches;
  plan_units(axes_of(plan, unit), 0, launch, most_blocks, launches);
  return launches;
}

}  // namespace accel_cuda
