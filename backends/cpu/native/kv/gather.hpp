// The slots that a gather by block table reads, with its argument checks.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor_view.hpp"

namespace accel_cpu::kv {

// An int32 or int64 tensor on the host with `ndim` axes; raises DTypeError, ShapeError,
// DeviceError.
void read_indices(PyObject* object, const char* argument, int ndim, TensorView* out);

// Source slots of all sequences' tokens, one after another; -1 where the block is negative. The
// same rules and words as accel.kv.slots.gather_slots, and SlotError when there are more than
// dst_slots.
std::vector<std::int64_t> gather_slots(PyObject* block_table, PyObject* seq_lens,
                                       PyObject* seq_starts, std::int64_t block_size,
                                       std::int64_t blocks, std::int64_t dst_slots);

}  // namespace accel_cpu::kv
