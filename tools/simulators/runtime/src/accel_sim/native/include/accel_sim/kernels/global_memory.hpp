// Global memory as a launch sees it: what may be touched, and which cores race for it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <vector>

#include "broken.hpp"
#include "run.h"

namespace accel_kernels {

// Global memory that a core read or wrote, in one of the phases between meetings of its cluster.
struct Access {
  std::uint64_t begin, end;
  std::uint32_t core, cluster, phase;
  bool write;
};

class GlobalMemory {
 public:
  explicit GlobalMemory(const accel_kernel_launch& launch) : launch_(launch) {}

  // The host address of `bytes` bytes. Throws Broken where there is no such memory.
  void* at(std::uint64_t address, std::uint64_t bytes, bool write) const {
    char text[256] = "";
    void* const host =
        launch_.translate(launch_.context, address, bytes, write ? 1 : 0, text, sizeof text);
    if (host == nullptr) {
      broken("%s of %llu bytes at 0x%llx: %s", write ? "a write" : "a read",
             static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(address),
             text);
    }
    return host;
  }

  void note(const Access& access) {
    std::lock_guard<std::mutex> lock(mutex_);
    accesses_.push_back(access);
  }

  // Throws Broken when two cores write the same granule of bytes, or one writes what another reads,
  // and nothing orders them.
  void check_races(std::uint64_t granule) {
    sweep(accesses_, granule, [](const Access& a) { return a.cluster; });
    std::stable_sort(accesses_.begin(), accesses_.end(), [](const Access& a, const Access& b) {
      return a.cluster != b.cluster ? a.cluster < b.cluster : a.phase < b.phase;
    });
    for (std::size_t first = 0, end = 0; first < accesses_.size(); first = end) {
      while (end < accesses_.size() && accesses_[end].cluster == accesses_[first].cluster &&
             accesses_[end].phase == accesses_[first].phase) {
        ++end;
      }
      std::vector<Access> part(accesses_.begin() + static_cast<std::ptrdiff_t>(first),
                               accesses_.begin() + static_cast<std::ptrdiff_t>(end));
      sweep(std::move(part), granule, [](const Access& a) { return a.core; });
    }
  }

 private:
  // The two furthest ends so far, of different owners.
  struct Furthest {
    std::uint64_t end[2] = {0, 0};
    std::uint32_t owner[2] = {0, 0}, core[2] = {0, 0};

    const std::uint32_t* other(std::uint32_t mine, std::uint64_t begin) const {
      for (int i = 0; i < 2; ++i) {
        if (end[i] > begin && owner[i] != mine) return &core[i];
      }
      return nullptr;
    }
    void add(std::uint64_t to, std::uint32_t mine, std::uint32_t mine_core) {
      if (owner[0] == mine || to > end[0]) {
        if (owner[0] != mine) {
          end[1] = end[0];
          owner[1] = owner[0];
          core[1] = core[0];
          end[0] = 0;
        }
        end[0] = std::max(end[0], to);
        owner[0] = mine;
        core[0] = mine_core;
      } else if (to > end[1]) {
        end[1] = to;
        owner[1] = mine;
        core[1] = mine_core;
      }
    }
  };

  template <class Owner>
  static void sweep(std::vector<Access> accesses, std::uint64_t granule, const Owner& owner) {
    const auto by_begin = [](const Access& a, const Access& b) { return a.begin < b.begin; };
    std::vector<Access> writes;
    for (Access a : accesses) {
      if (!a.write) continue;
      a.begin = a.begin / granule * granule;
      a.end = (a.end + granule - 1) / granule * granule;
      writes.push_back(a);
    }
    std::sort(writes.begin(), writes.end(), by_begin);
    Furthest written;
    for (const Access& a : writes) {
      if (const std::uint32_t* const other = written.other(owner(a), a.begin)) {
        broken("cores %u and %u race: both write at address 0x%llx, in the same %llu bytes", *other,
               a.core, static_cast<unsigned long long>(a.begin),
               static_cast<unsigned long long>(granule));
      }
      written.add(a.end, owner(a), a.core);
    }
    std::sort(accesses.begin(), accesses.end(), by_begin);
    Furthest read;
    written = {};
    for (const Access& a : accesses) {
      const std::uint32_t* other = written.other(owner(a), a.begin);
      if (other == nullptr && a.write) other = read.other(owner(a), a.begin);
      if (other != nullptr) {
        broken("cores %u and %u race: one writes what the other reads or writes at address 0x%llx",
               *other, a.core, static_cast<unsigned long long>(a.begin));
      }
      (a.write ? written : read).add(a.end, owner(a), a.core);
    }
  }

  const accel_kernel_launch& launch_;
  std::mutex mutex_;
  std::vector<Access> accesses_;
};

}  // namespace accel_kernels
