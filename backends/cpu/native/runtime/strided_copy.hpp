// Copies and fills of strided memory by the processor.
#pragma once

#include <accel/strided_plan.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace accel_cpu {

class StridedCopy : public accel::StridedPlan {
 public:
  using StridedPlan::StridedPlan;

  void copy(void* dst, const void* src) const;     // on all threads when it is worth it
  void fill(void* dst, std::uint8_t value) const;  // give dst_strides for both sides

 private:
  template <class Row>
  void for_each_row(char* dst, const char* src, Row row) const;
};

// Many contiguous copies as one piece of work, evenly over the threads.
struct FlatCopy {
  char* dst;
  const char* src;
  std::size_t nbytes;
};
void copy_flat_batch(const std::vector<FlatCopy>& copies);

}  // namespace accel_cpu
