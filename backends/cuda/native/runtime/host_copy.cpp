#include "host_copy.hpp"

#include <algorithm>
#include <utility>

namespace accel_cuda {
namespace {

using Dim = accel::StridedPlan::Dim;

std::size_t bytes_of(const std::vector<Dim>& dims, std::size_t run) {
  std::size_t nbytes = run;
  for (const Dim& dim : dims) nbytes *= static_cast<std::size_t>(dim.extent);
  return nbytes;
}

void parts_from(std::vector<Dim> dims, std::size_t run, std::int64_t dst, std::int64_t src,
                std::size_t limit, const std::function<void(const PlanPart&)>& use) {
  const std::size_t nbytes = bytes_of(dims, run);
  if (nbytes <= limit || dims.empty()) {
    // One run that is longer than the limit is cut.
    for (std::size_t at = 0; dims.empty() && nbytes > limit && at < nbytes; at += limit) {
      const std::size_t part = std::min(limit, nbytes - at);
      use({{}, part, part, dst + static_cast<std::int64_t>(at),
           src + static_cast<std::int64_t>(at)});
    }
    if (nbytes <= limit) use({dims, run, nbytes, dst, src});
    return;
  }
  const Dim outer = dims.front();
  const std::size_t of_one = nbytes / static_cast<std::size_t>(outer.extent);
  const auto together = static_cast<std::int64_t>(std::max<std::size_t>(1, limit / of_one));
  for (std::int64_t i = 0; i < outer.extent; i += together) {
    std::vector<Dim> part = dims;
    part.front().extent = std::min(together, outer.extent - i);
    if (part.front().extent == 1) part.erase(part.begin());
    parts_from(std::move(part), run, dst + i * outer.dst, src + i * outer.src, limit, use);
  }
}

}  // namespace

std::vector<Dim> packed(const std::vector<Dim>& dims, std::size_t run, PackedSide side) {
  std::vector<Dim> result = dims;
  auto stride = static_cast<std::int64_t>(run);
  for (auto dim = result.rbegin(); dim != result.rend(); ++dim) {
    (side == PackedSide::Dst ? dim->dst : dim->src) = stride;
    stride *= dim->extent;
  }
  return result;
}

bool is_packed(const accel::StridedPlan& plan, PackedSide side) {
  const std::vector<Dim> wanted = packed(plan.dims(), plan.run(), side);
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    if (wanted[k].dst != plan.dims()[k].dst || wanted[k].src != plan.dims()[k].src) return false;
  }
  return true;
}

void for_each_part(const accel::StridedPlan& plan, std::size_t limit,
                   const std::function<void(const PlanPart&)>& use) {
  parts_from(plan.dims(), plan.run(), 0, 0, limit, use);
}

}  // namespace accel_cuda
