// Strided copies by the processor, for host memory that the device does not reach.
#pragma once

#include <accel/host_runs.hpp>
#include <accel/strided_plan.hpp>

#include <cstdint>
#include <functional>
#include <vector>

namespace accel_cuda {

using accel::copy_on_host;
using accel::fill_on_host;

// The plan's dimensions as they are when one side is packed: in the plan's order without gaps.
enum class PackedSide { Dst, Src };
std::vector<accel::StridedPlan::Dim> packed(const std::vector<accel::StridedPlan::Dim>& dims,
                                            std::size_t run, PackedSide side);
// Whether a side of the plan lies in that order already.
bool is_packed(const accel::StridedPlan& plan, PackedSide side);

// A part of a plan: some of its innermost dimensions, and where they begin on both sides.
struct PlanPart {
  std::vector<accel::StridedPlan::Dim> dims;
  std::size_t run;
  std::size_t nbytes;
  std::int64_t dst, src;  // offsets in bytes
};

// Calls use(part) for parts of at most `limit` bytes (but at least one run), which together are the
// plan.
void for_each_part(const accel::StridedPlan& plan, std::size_t limit,
                   const std::function<void(const PlanPart&)>& use);

}  // namespace accel_cuda
