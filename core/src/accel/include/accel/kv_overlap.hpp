// Whether a transfer reads a byte that it also writes: exact, for caches that share an allocation
// in ways their strides do not settle. Slow (all runs are listed and sorted). C++17, standard
// library.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "kv_address.h"
#include "kv_slots.hpp"

namespace accel {

namespace detail {

// [first, last) of every run that `slots` name, neighbours joined, sorted.
using Ranges = std::vector<std::pair<std::uintptr_t, std::uintptr_t>>;

template <class Offset>
void add_runs(Ranges* out, std::uintptr_t base, const accel_kv_paging& paging,
              const std::vector<std::int64_t>& slots, const std::vector<Offset>& within,
              std::int64_t run_bytes) {
  for (const std::int64_t slot : slots) {
    const auto unit = base + static_cast<std::uintptr_t>(accel_kv_unit_offset(&paging, slot));
    for (const Offset offset : within) {
      const auto first = unit + static_cast<std::uintptr_t>(offset);
      const auto last = first + static_cast<std::uintptr_t>(run_bytes);
      if (!out->empty() && out->back().second == first) {
        out->back().second = last;
      } else {
        out->emplace_back(first, last);
      }
    }
  }
}

}  // namespace detail

// What is read as `src_planes` say, from base addresses `src` [layer * planes + plane], and what is
// written as `dst_planes` say: two lists, as elements may differ in size. Destinations are known to
// be disjoint among themselves. On true, *address is a byte of a run that is read and of one that
// is written.
inline bool reads_what_it_writes(std::int64_t layers,
                                 const std::vector<accel_kv_plane>& src_planes,
                                 const std::vector<accel_kv_plane>& dst_planes,
                                 const std::vector<std::uintptr_t>& src,
                                 const std::vector<std::uintptr_t>& dst, const SlotPairs& pairs,
                                 std::uintptr_t* address) {
  detail::Ranges reads, writes;
  for (std::size_t p = 0; p < src_planes.size(); ++p) {
    const accel_kv_plane &from = src_planes[p], &to = dst_planes[p];
    std::vector<accel_i64> src_within, dst_within;
    for (accel_i64 run = 0; run < from.runs; ++run) {
      accel_i64 s, d, other;
      accel_kv_run_offsets(&from, run, &s, &other);
      accel_kv_run_offsets(&to, run, &other, &d);
      src_within.push_back(s);
      dst_within.push_back(d);
    }
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      const std::size_t at = static_cast<std::size_t>(layer) * src_planes.size() + p;
      detail::add_runs(&reads, src[at], from.src, pairs.src, src_within, from.run_bytes);
      detail::add_runs(&writes, dst[at], to.dst, pairs.dst, dst_within, to.run_bytes);
    }
  }
  std::sort(reads.begin(), reads.end());
  std::sort(writes.begin(), writes.end());
  auto write = writes.begin();
  for (const auto& read : reads) {
    // Writes are disjoint and sorted, and reads start in order: what ends before one read starts
    // ends before all later ones.
    while (write != writes.end() && write->second <= read.first) ++write;
    if (write != writes.end() && write->first < read.second) {
      *address = std::max(write->first, read.first);
      return true;
    }
  }
  return false;
}

inline bool reads_what_it_writes(std::int64_t layers, const std::vector<accel_kv_plane>& planes,
                                 const std::vector<std::uintptr_t>& src,
                                 const std::vector<std::uintptr_t>& dst, const SlotPairs& pairs,
                                 std::uintptr_t* address) {
  return reads_what_it_writes(layers, planes, planes, src, dst, pairs, address);
}

}  // namespace accel
