// Bytes that a KV kernel would both read and write, refused in the contract's words.
#pragma once

#include <accel/index_arguments.hpp>

#include <vector>

#include "accel/kv_address.h"
#include "transfer.hpp"

namespace accel_cpu::kv {

// Raises OverlapError when a byte would be both read and written. With `dst_planes`, these say what
// is written, for elements that change their size on the way.
void refuse_shared_bytes(const Bound& bound, const accel::SlotPairs& pairs, const char* argument,
                         const std::vector<accel_kv_plane>* dst_planes = nullptr);

}  // namespace accel_cpu::kv
