// One core: its unified buffer, its pipelines, and the global memory that it touched.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "accel_sim/kernels/global_memory.hpp"

namespace accel_ascendc {

using accel_kernels::broken;
using accel_kernels::GlobalMemory;

constexpr std::uint64_t kUnit = 32;  // bytes: of alignment, and of what cores write at once

enum Pipe { PIPE_S, PIPE_V, PIPE_MTE2, PIPE_MTE3, PIPE_ALL };
inline const char* pipe_name(int pipe) {
  static const char* const names[] = {"S", "V", "MTE2", "MTE3"};
  return names[pipe];
}

// Bytes [begin, end) of the unified buffer.
struct Span {
  std::uint64_t begin = 0, end = 0;
  bool meets(const Span& other) const { return begin < other.end && other.begin < end; }
};

// How many tasks of each pipeline are done for certain, as somebody knows it.
struct Known {
  std::uint64_t done[4] = {};
  void join(const Known& other) {
    for (int i = 0; i < 4; ++i) done[i] = done[i] < other.done[i] ? other.done[i] : done[i];
  }
};

// What a pipeline was told to do with the unified buffer.
struct Use {
  std::uint64_t number;  // among the pipeline's tasks, from 1
  Span reads, writes;
  const char* name;
};

// Something that a pipeline has yet to do.
struct Task {
  enum class Kind { Work, Set, Wait } kind = Kind::Work;
  std::function<void()> work;
  Span reads, writes;      // of the unified buffer
  std::uint64_t flag = 0;  // of Set and Wait
  const char* name = "";
};

// A piece of the unified buffer that a queue or TBuf owns.
struct Buffer {
  enum class State { Free, Allocated, Enqueued, Dequeued, Always } state = State::Free;
  Span span;
  std::uint64_t uses = 0;   // a tensor of an earlier use is a freed one
  bool freed_once = false;  // an allocation has to wait for the consumer
  bool read_by_vector = false;
  std::uint64_t flag = 0;
};

class Core {
 public:
  Core(std::uint32_t index, std::uint32_t count, std::uint64_t ub_bytes, std::uint64_t seed,
       GlobalMemory& memory)
      : index(index),
        count(count),
        unified(ub_bytes, 0xA5),
        random(seed * 2654435761u + index),
        memory_(memory) {}

  const std::uint32_t index, count;
  std::vector<std::uint8_t> unified;
  std::uint64_t used = 0;  // of the unified buffer
  std::mt19937_64 random;
  std::deque<Task> pipes[4];
  std::map<std::uint64_t, int> flags;  // set and not yet waited for
  Known known[4];                      // by each pipeline when it does its next task
  std::uint64_t issued[4] = {};
  std::deque<Use> uses[4];             // the latest
  std::map<std::uint64_t, std::deque<Known>> told;  // by flags that are, or will be, set
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::uint64_t next_flag = 1u << 20;

  void* global(std::uint64_t address, std::uint64_t bytes, bool write) {
    void* const host = memory_.at(address, bytes, write);
    memory_.note({address, address + bytes, index, index, 0, write});
    return host;
  }

  std::uint64_t take_unified(std::uint64_t bytes, const char* what) {
    const std::uint64_t size = (bytes + kUnit - 1) / kUnit * kUnit;
    if (size == 0) broken("%s of 0 bytes", what);
    if (used + size > unified.size()) {
      broken("%s of %llu bytes: %llu of the unified buffer's %llu bytes are taken", what,
             static_cast<unsigned long long>(size), static_cast<unsigned long long>(used),
             static_cast<unsigned long long>(unified.size()));
    }
    used += size;
    return used - size;
  }

  static Core*& current() {
    static thread_local Core* core = nullptr;
    return core;
  }

 private:
  GlobalMemory& memory_;
};

inline Core& core() {
  Core* const here = Core::current();
  if (here == nullptr) broken("AscendC called outside of a kernel");
  return *here;
}

inline std::int64_t GetBlockIdx() { return core().index; }
inline std::int64_t GetBlockNum() { return core().count; }

}  // namespace accel_ascendc
