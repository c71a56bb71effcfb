// The innermost loops of a transfer: runs of a fixed size, streamed lines, transposed elements.
#pragma once

#include "box.hpp"

namespace accel_cpu::kv {

constexpr accel_i64 kLine = 64;
constexpr accel_i64 kPage = 4096;

// n runs with ordinary stores.
LeafLoop plain_runs(accel_i64 run);
// n runs, of a multiple of 64 bytes to destinations on line boundaries, with streaming stores.
LeafLoop streamed_lines();
// n runs of any size and alignment; their whole lines with streaming stores.
LeafLoop streamed_runs();
// dst[i * dst + j * run] = src[j * m_src + i * run] for i < n, j < m; null unless run is 1, 2, 4,
// 8.
LeafLoop transposed(accel_i64 run);

}  // namespace accel_cpu::kv
