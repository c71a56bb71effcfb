// What the bindings of KV kernels do with slot lists: read them, and refuse them in the contract's
// words.
#pragma once

#include <accel/kv_slots.hpp>

#include <cstdint>
#include <vector>

#include "accel/kv_address.h"
#include "tensor_view.hpp"
#include "transfer.hpp"

namespace accel_cpu::kv {

// A column of an index tensor: elements `first`, `first + stride`, ...
accel::SlotList column(const TensorView& view, std::int64_t first, std::int64_t stride);

// An index tensor of one axis on the host. `view` must outlive the list.
accel::SlotList read_slots(PyObject* slots, const char* argument, TensorView* view);

// Raises the SlotError or OverlapError that the fault is.
[[noreturn]] void raise_fault(const accel::SlotFault& fault, const char* src, const char* dst);

// Raises OverlapError when a byte would be both read and written. With `dst_planes`, these say what
// is written, for elements that change their size on the way.
void refuse_shared_bytes(const Bound& bound, const accel::SlotPairs& pairs, const char* argument,
                         const std::vector<accel_kv_plane>* dst_planes = nullptr);

}  // namespace accel_cpu::kv
