// One core: its memories, and the copies that it has not awaited.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "accel_sim/kernels/global_memory.hpp"

// What the compiler put into NRAM and shared memory.
extern "C" {
extern std::uint8_t __start_accel_nram[] __attribute__((weak, visibility("hidden")));
extern std::uint8_t __stop_accel_nram[] __attribute__((weak, visibility("hidden")));
extern std::uint8_t __start_accel_sram[] __attribute__((weak, visibility("hidden")));
extern std::uint8_t __stop_accel_sram[] __attribute__((weak, visibility("hidden")));
}

namespace accel_bang {

using accel_kernels::broken;
using accel_kernels::GlobalMemory;

constexpr std::uint32_t kStackBytes = 128 << 10;  // of NRAM
constexpr std::uint64_t kSharedBytes = 2 << 20;   // of a cluster
constexpr std::uint8_t kPoison = 0xA5;

enum class Space { Nram, Sram, Gdram };
inline const char* name_of(Space space) {
  static const char* const names[] = {"NRAM", "SRAM", "GDRAM"};
  return names[static_cast<int>(space)];
}

// `count` segments of `bytes` bytes, `step` apart.
struct Rows {
  Space space = Space::Gdram;
  std::uint64_t begin = 0, count = 1, bytes = 0, step = 0;

  std::uint64_t end() const { return begin + (count - 1) * step + bytes; }
  std::uint64_t at(std::uint64_t i) const { return begin + i * step; }

  bool meets(const Rows& other) const {
    if (space != other.space || begin >= other.end() || other.begin >= end()) return false;
    if (count > other.count) return other.meets(*this);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t mine = at(i), last = mine + bytes;
      if (last <= other.begin || mine >= other.end()) continue;
      // The latest segment of the other that begins before this one ends.
      std::uint64_t k = other.step == 0 ? 0 : (last - 1 - other.begin) / other.step;
      if (k >= other.count) k = other.count - 1;
      if (other.at(k) + other.bytes > mine) return true;
    }
    return false;
  }
};

// A copy under way.
struct Copy {
  Rows dst, src;
  std::function<void()> work;
};

class Meeting;  // of a cluster's cores

struct Core {
  std::uint32_t index = 0, count = 1, cluster_cores = 1;
  std::uint32_t dim[3] = {1, 1, 1};
  std::uint32_t phase = 0;  // meetings so far
  std::mt19937_64 random;
  std::vector<Copy> under_way;
  GlobalMemory* memory = nullptr;
  GlobalMemory* shared = nullptr;  // accesses to shared memory
  Meeting* meeting = nullptr;

  void note(const Rows& rows, bool write) {
    if (rows.space == Space::Nram) return;
    GlobalMemory* const noted = rows.space == Space::Gdram ? memory : shared;
    for (std::uint64_t i = 0; i < rows.count; ++i) {
      noted->note({rows.at(i), rows.at(i) + rows.bytes, index, index / cluster_cores, phase, write});
    }
  }

  static Core*& current() {
    static thread_local Core* core = nullptr;
    return core;
  }
};

inline Core& core() {
  Core* const here = Core::current();
  if (here == nullptr) broken("BANG C called outside of a kernel");
  return *here;
}

}  // namespace accel_bang
