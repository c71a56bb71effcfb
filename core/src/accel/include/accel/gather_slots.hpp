// The slots that a gather by block table reads, with its argument checks: tables on the host.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "index_arguments.hpp"

namespace accel {

// Source slots of all sequences' tokens, one after another; -1 where the block is negative. The
// same rules and words as accel.kv.slots.gather_slots, and SlotError when there are more than
// dst_slots.
std::vector<std::int64_t> gather_slots(PyObject* block_table, PyObject* seq_lens,
                                       PyObject* seq_starts, std::int64_t block_size,
                                       std::int64_t blocks, std::int64_t dst_slots);

namespace detail {

inline std::int64_t index_at(const TensorView& view, std::int64_t offset) {
  return view.is_int64 ? reinterpret_cast<const std::int64_t*>(view.data)[offset]
                       : reinterpret_cast<const std::int32_t*>(view.data)[offset];
}

inline void check_batch(const TensorView& view, const char* argument, std::int64_t batch) {
  if (view.shape[0] == batch) return;
  fail("ShapeError", argument, std::to_string(batch) + " sequences", std::to_string(view.shape[0]));
}

}  // namespace detail

inline std::vector<std::int64_t> gather_slots(PyObject* block_table, PyObject* seq_lens,
                                              PyObject* seq_starts, std::int64_t block_size,
                                              std::int64_t blocks, std::int64_t dst_slots) {
  TensorView table, lens, starts;
  read_host_indices(block_table, "block_table", 2, &table);
  read_host_indices(seq_lens, "seq_lens", 1, &lens);
  const bool from_start = seq_starts == Py_None;
  if (!from_start) read_host_indices(seq_starts, "seq_starts", 1, &starts);
  const std::int64_t batch = table.shape[0];
  detail::check_batch(lens, "seq_lens", batch);
  if (!from_start) detail::check_batch(starts, "seq_starts", batch);

  const std::int64_t capacity = table.shape[1] * block_size;
  std::int64_t total = 0;
  const auto start_of = [&](std::int64_t i) {
    return from_start ? 0 : detail::index_at(starts, i * starts.strides[0]);
  };
  for (std::int64_t i = 0; i < batch; ++i) {
    const std::int64_t start = start_of(i), length = detail::index_at(lens, i * lens.strides[0]);
    const auto placed = [i](const std::string& what) {
      return what + " at position " + std::to_string(i);
    };
    if (start < 0) {
      fail("SlotError", "seq_starts", "starts of at least 0", placed(std::to_string(start)));
    }
    if (length < 0) {
      fail("SlotError", "seq_lens", "lengths of at least 0", placed(std::to_string(length)));
    }
    if (start > capacity || length > capacity - start) {
      fail("SlotError", "seq_lens",
           "sequences that end within " + std::to_string(capacity) + " tokens (block_table's row)",
           placed(std::to_string(start) + " + " + std::to_string(length)));
    }
    total += length;
    if (total > dst_slots) {
      fail("SlotError", "seq_lens", "at most " + std::to_string(dst_slots) + " tokens in all",
           "at least " + std::to_string(total));
    }
  }

  std::vector<std::int64_t> slots;
  slots.reserve(static_cast<std::size_t>(total));
  for (std::int64_t i = 0; i < batch; ++i) {
    const std::int64_t start = start_of(i), end = start + detail::index_at(lens, i * lens.strides[0]);
    for (std::int64_t token = start; token < end;) {
      const std::int64_t entry = token / block_size;
      const std::int64_t block = detail::index_at(table, i * table.strides[0] + entry * table.strides[1]);
      if (block >= blocks) {
        fail("SlotError", "block_table", "blocks below " + std::to_string(blocks),
             std::to_string(block) + " at position (" + std::to_string(i) + ", " +
                 std::to_string(entry) + ")");
      }
      const std::int64_t stop = std::min(end, (entry + 1) * block_size);
      for (; token < stop; ++token) {
        slots.push_back(block < 0 ? -1 : block * block_size + token % block_size);
      }
    }
  }
  return slots;
}

}  // namespace accel
