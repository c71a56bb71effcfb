// Turning the keys of many tokens, in all their heads and layers, on all threads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "head.hpp"
#include "turns.hpp"

namespace accel_cpu::rope {

struct Token {
  std::int64_t offset = 0;  // bytes from a layer's base to the token's first head
  Move move;
};

struct Work {
  std::vector<std::uintptr_t> bases;  // of each layer
  Channels channels;
  std::int64_t heads = 0, head_stride = 0;  // stride in bytes
  std::shared_ptr<const std::vector<double>> inv_freq;
  Table table;  // instead of inv_freq, where it has data
  std::vector<Token> tokens;

  std::int64_t bytes() const;  // that are read, and written
};

// All addresses distinct. Returns when done; visible to whoever synchronises with the calling
// thread.
void reposition(const Work& work);

// From how many bytes on several threads are used; negative: decided here. Returns what was
// before. For tests and measurements.
std::int64_t set_parallel_bytes(std::int64_t bytes);

}  // namespace accel_cpu::rope
