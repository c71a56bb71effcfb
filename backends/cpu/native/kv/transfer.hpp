// The CPU engine: units of a bound pair of caches, moved on all threads.
#pragma once

#include <cstdint>
#include <vector>

#include "accel/kv_address.h"
#include "accel/kv_slots.hpp"

namespace accel_cpu::kv {

// A plan (accel/kv/plan.py) and the addresses it applies to.
struct Bound {
  std::int64_t layers = 0;
  std::vector<accel_kv_plane> planes;
  std::vector<std::uintptr_t> src, dst;  // base addresses, [layer * planes + plane]

  std::int64_t unit_bytes() const;  // over all layers and planes
};

// The same work with the layers as one more dimension of a unit, where a token's layers lie closer
// together than its neighbours on one side (page-first layouts): each page is then visited once,
// and contiguous layers become one run. Unchanged where that does not apply.
Bound fold_layers(Bound bound);

// Copies unit pairs.src[i] to pairs.dst[i] for every i, layer and plane. The pairs were checked:
// within the caches, destinations distinct and not among the sources. Returns when done; visible to
// whoever synchronises with the calling thread.
void transfer(const Bound& bound, const accel::SlotPairs& pairs);

// From how many bytes on transfers stream past the caches, and use several threads. Negative:
// decided by the machine. Set by tests, to reach every loop with little data, and by measurements.
struct Policy {
  std::int64_t streaming_bytes = -1;
  std::int64_t parallel_bytes = -1;
};
Policy set_policy(Policy policy);  // returns the one before
Policy current_policy();

// Whether writing so many bytes should stream past the caches: from `otherwise` bytes on, unless
// the policy says other; negative: from what the caches do not hold.
bool streams(std::int64_t bytes, std::int64_t otherwise = -1);

}  // namespace accel_cpu::kv
