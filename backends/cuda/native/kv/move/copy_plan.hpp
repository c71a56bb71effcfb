// A strided copy between two caches, made into the arguments of a few launches of kv_copy.cu.
//
// Knows addresses and strides only: no Python, no driver, so that tests can run the arguments on the
// CPU.
#pragma once

#include <accel/kv_address.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/kv_copy_args.h"

namespace accel_cuda::kv {

using Address = std::uint64_t;

// Base addresses of a plane of a layer on both sides.
struct BasePair {
  Address src = 0, dst = 0;
};

// The kernels of kv_copy.cu, as indices into what Python prepared.
enum CopyKernel {
  kRows1, kRows2, kRows4, kRows8, kRows16,
  kTurned1, kTurned2, kTurned4, kTurned8, kTurned16,
  kRows16Few,
  kCopyKernels
};
inline constexpr const char* kCopyKernelNames[kCopyKernels] = {
    "kv_copy_rows_1",   "kv_copy_rows_2",   "kv_copy_rows_4",   "kv_copy_rows_8",
    "kv_copy_rows_16",  "kv_copy_turned_1", "kv_copy_turned_2", "kv_copy_turned_4",
    "kv_copy_turned_8", "kv_copy_turned_16", "kv_copy_rows_16_few"};

// Planes of the same strides: one accel_copy_kind, whose counts depend on the number of units.
struct CopyKind {
  CopyKernel kernel = kRows1;
  accel_copy_kind fields = {};
  std::vector<BasePair> bases;
  std::int64_t unit_vectors = 0;  // vectors, or squares, of a unit of one base
  std::int64_t unit_bytes = 0;    // of one base
  std::int64_t place_vectors = 0;  // of a row or unit, which a block looks up once
  int tile_vectors = 0;            // of a block
};

// The plane with `count` units, which follow one another on both sides without a block's end between
// them, as one: runs that become neighbours are joined.
accel_kv_plane group_units(const accel_kv_plane& plane, std::int64_t count);

// The kinds of a transfer. `src` and `dst` are [layer * planes.size() + plane].
std::vector<CopyKind> copy_kinds(std::int64_t layers, const std::vector<accel_kv_plane>& planes,
                                 const std::vector<Address>& src, const std::vector<Address>& dst);

// The kind that one plane and its bases make.
CopyKind copy_kind(const accel_kv_plane& plane, std::vector<BasePair> bases);

// Kinds of one kernel, with their bases in the arguments, or in a table that the owner fills in.
struct CopyLaunch {
  CopyKernel kernel = kRows1;
  std::int64_t base_count = 0;
  std::int64_t most_units = 0;  // of one launch
  std::int64_t unit_bytes = 0;  // over all bases
  std::vector<BasePair> bases;  // in the order of the kinds
  std::vector<std::size_t> order;  // which of all kinds each base belongs to
  accel_copy_args args = {};    // but for units and indices

  // Where the owner has put the bases, for launches of few units; 0: nowhere.
  Address few_table = 0;

  // Whether the bases stand in args.words; else args.table must be set.
  bool inline_bases() const;
  // Indices (int32) that fit behind them, for both sides together.
  std::int64_t index_room() const;
  // Fills in the counts for `units` units; returns the blocks that would each do one tile.
  unsigned size(accel_copy_args* out, std::int64_t units) const;

  unsigned shared_bytes = 0;  // of a block

  // Per kind.
  std::int64_t unit_vectors[ACCEL_COPY_KINDS] = {};
  int tile_vectors[ACCEL_COPY_KINDS] = {};
};

// Tells a launch where its bases are on the device: pairs, in their order.
void set_table(CopyLaunch* launch, Address table);

std::vector<CopyLaunch> plan_launches(const std::vector<CopyKind>& kinds);

// A launch whose bases do not fit its arguments, as several whose do.
std::vector<CopyLaunch> split_bases(const std::vector<CopyKind>& kinds, const CopyLaunch& launch);

}  // namespace accel_cuda::kv
