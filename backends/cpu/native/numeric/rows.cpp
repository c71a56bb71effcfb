// Which instruction set the row loops use.
#include "rows.hpp"

#include <atomic>
#include <cstring>
#include <initializer_list>

namespace accel_cpu::numeric {
namespace {

const RowKernels* best() {
  for (const RowKernels* k : {avx512_rows(), avx2_rows()}) {
    if (k != nullptr) return k;
  }
  return portable_rows();
}

std::atomic<const RowKernels*>& chosen() {
  static std::atomic<const RowKernels*> kernels{best()};
  return kernels;
}

}  // namespace

const RowKernels& rows() { return *chosen().load(std::memory_order_relaxed); }

bool use_rows(const char* name) {
  for (const RowKernels* k : {avx512_rows(), avx2_rows(), portable_rows()}) {
    if (k != nullptr && std::strcmp(k->name, name) == 0) {
      chosen().store(k, std::memory_order_relaxed);
      return true;
    }
  }
  return false;
}

}  // namespace accel_cpu::numeric
