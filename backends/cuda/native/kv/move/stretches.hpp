// The host's side of a transfer as stretches of contiguous memory, and how staging memory packs them.
// No driver, no Python.
#pragma once

#include <accel/kv_address.h>

#include <cstdint>
#include <vector>

#include "copy_plan.hpp"

namespace accel_cuda::kv {

// Units that follow one another in host memory. Offsets in bytes from a base.
struct Stretch {
  std::int64_t first, count;  // units
  std::int64_t offset;
};

// Planes of one kind whose units are each contiguous on the host.
//
// By base: staging memory holds base after base, of each its units one after another. By unit: it
// holds unit after unit, of each all bases, as the host's pages do.
struct StagedKind {
  CopyKind kind;                    // between the device and staging memory; bases hold the device's
                                    // address and, on the other side, where the base starts in a unit
  std::vector<Address> host;        // by base: addresses; by unit: one, of the first
  std::vector<Stretch> stretches;
  std::vector<Address> borders;     // where the host's tensors begin, sorted: no copy spans two, as
                                    // a driver refuses what lies in two allocations
  std::int64_t unit_bytes = 0;      // of one base; by unit: of all
  bool by_unit = false;

  std::int64_t bases() const { return static_cast<std::int64_t>(kind.bases.size()); }
  // Bytes of all units and bases.
  std::int64_t bytes(std::int64_t units) const {
    return unit_bytes * units * (by_unit ? 1 : bases());
  }
  std::int64_t stretch_count() const {
    return static_cast<std::int64_t>(stretches.size()) * (by_unit ? 1 : bases());
  }
};

// Empty when some plane's units are not contiguous on the host. `slots` are the host's, of the first
// token of each unit, `tensors` where its tensors begin. Of the two ways to pack, the one with fewer
// stretches.
std::vector<StagedKind> staged_kinds(std::int64_t layers, const std::vector<accel_kv_plane>& planes,
                                     const std::vector<Address>& src,
                                     const std::vector<Address>& dst, bool to_host,
                                     const std::vector<std::int64_t>& slots,
                                     std::vector<Address> tensors);

// A part of a kind that is staged at once.
struct Piece {
  std::size_t kind;
  std::int64_t base, bases, unit, units;
  std::int64_t bytes;
};

// Sizes of pieces in bytes: `first`, and then up to `growth` times all that went before.
struct PieceSizes {
  std::int64_t first, most, growth;
};

// All of it in pieces of growing size; with `last_small` the same from the end, which is shrinking.
std::vector<Piece> cut_pieces(const std::vector<StagedKind>& kinds, std::int64_t units,
                              const PieceSizes& sizes, bool last_small);

// One copy between staging memory and the host.
struct HostCopy {
  std::int64_t staging;  // offset
  Address host;
  std::int64_t bytes;
};

// Where the host has a piece, of each base (by unit: of all): for a kernel that puts it there, or
// takes it from there, as it would with staging memory. Empty where that takes more than one place
// for a base, or another alignment.
std::vector<Address> host_places(const StagedKind& kind, const Piece& piece);

// The copies of a piece, neighbours joined.
std::vector<HostCopy> piece_copies(const StagedKind& kind, const Piece& piece);

}  // namespace accel_cuda::kv
