// Sets of bytes that strided tensors touch, and whether two of them share one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace accel_cpu {

// The bytes at base + sum(i_k * stride_k) + [0, run), 0 <= i_k < extent_k. Strides are positive;
// adjacent dimensions are merged and those of extent 1 dropped.
class Region {
 public:
  Region() = default;
  Region(std::uintptr_t base, std::size_t nbytes) : base_(base), run_(nbytes), span_(nbytes) {}
  Region(std::uintptr_t base, const std::vector<std::int64_t>& shape,
         const std::vector<std::int64_t>& byte_strides, std::int64_t itemsize);

  std::uintptr_t begin() const { return base_; }
  std::uintptr_t end() const { return base_ + span_; }
  bool empty() const { return span_ == 0; }

  enum class Answer { No, Yes, Unknown };
  // Unknown only where the search for a shared byte was given up: some 10^5 steps, which takes
  // strides that are neither nested nor multiples of one another.
  static Answer share_bytes(const Region& a, const Region& b);
  // Whether two different indices touch the same byte.
  Answer overlaps_itself() const;

 private:
  struct Dim {
    std::int64_t extent, stride;
  };
  std::uintptr_t base_ = 0;
  std::vector<Dim> dims_;  // smallest stride first
  std::size_t run_ = 0;    // contiguous bytes at each index
  std::size_t span_ = 0;   // from the first byte to behind the last
  bool repeated_ = false;  // a stride of 0: every byte is touched more than once
};

}  // namespace accel_cpu
