// Which instruction set the coder's loops use.
#include "lanes.hpp"

#include <atomic>
#include <cstring>
#include <initializer_list>

namespace accel_cpu::coding {
namespace {

const LaneKernels* best() {
  if (const LaneKernels* k = avx512_kernels()) return k;
  if (const LaneKernels* k = avx2_kernels()) return k;
  return portable_kernels();
}

std::atomic<const LaneKernels*>& chosen() {
  static std::atomic<const LaneKernels*> kernels{best()};
  return kernels;
}

}  // namespace

const LaneKernels& kernels() { return *chosen().load(std::memory_order_relaxed); }

bool use_kernels(const char* name) {
  for (const LaneKernels* k : {avx512_kernels(), avx2_kernels(), portable_kernels()}) {
    if (k != nullptr && std::strcmp(k->name, name) == 0) {
      chosen().store(k, std::memory_order_relaxed);
      return true;
    }
  }
  return false;
}

}  // namespace accel_cpu::coding
