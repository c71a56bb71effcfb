// A repositioning, made into one launch. Knows addresses and strides only: no Python, no driver.
#pragma once

#include <accel/number_kind.hpp>

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/rope_args.h"
#include "tools.hpp"

namespace accel_cuda::arith {

// Radians a position as turns times 2^64, without whole turns: to 2^-11 of the last place for any
// frequency below 2^53.
std::uint64_t turn_fraction(double radians);

// Which channels of a head are rotated, and by what a position.
struct Turning {
  bool interleaved = false;
  std::int64_t first = 0;
  std::vector<std::uint64_t> turns;  // one for each pair; with a table only their number counts

  std::int64_t pairs() const { return static_cast<std::int64_t>(turns.size()); }
};

// One leading axis of keys, with the positions' own strides.
struct RopeAxis {
  std::int64_t extent, step;        // step: bytes
  std::int64_t old_step, new_step;  // elements
};

// Heads of keys; strides in bytes.
struct KeyHeads {
  accel::NumberKind kind = accel::NumberKind::F32;
  std::int64_t heads = 0, head_stride = 0;
  std::int64_t inner = 1, stride = 0, outer_stride = 0;  // as in accel_rope_args
  std::uint64_t alignment = 0;      // all that tokens and layers are multiples of, or'ed together
  std::int64_t token_step = 0;      // from a token to the next, as a rule
  std::uint64_t base = 0;           // of the only layer
  DevicePointer bases = 0;          // or a table of them
  std::int64_t layers = 1;
};

struct RopeLaunch {
  Variant variant;
  Dim3 grid;
  unsigned block = 256, shared_bytes = 0;
  accel_rope_args args = {};
};

// The launch for so many tokens, but for where they are and who they are. `turns`: the turning's,
// on the device.
std::unique_ptr<RopeLaunch> plan_rope(const KeyHeads& keys, const Turning& turning,
                                      DevicePointer turns, std::int64_t tokens,
                                      int multiprocessors);

// `axes` without those of extent 1, joined where keys and positions allow.
std::vector<RopeAxis> merged(const std::vector<RopeAxis>& axes);

}  // namespace accel_cuda::arith
