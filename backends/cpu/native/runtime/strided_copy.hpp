// Copies and fills of strided memory: dimensions are sorted and merged, then moved in runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace accel_cpu {

class StridedCopy {
 public:
  // All strides in bytes. Both sides have this shape; no extent may be 0.
  StridedCopy(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& dst_strides,
              const std::vector<std::int64_t>& src_strides, std::int64_t itemsize);

  std::size_t nbytes() const { return total_; }
  bool contiguous() const { return dims_.empty(); }
  void copy(void* dst, const void* src) const;     // on all threads when it is worth it
  void fill(void* dst, std::uint8_t value) const;  // give dst_strides for both sides

 private:
  struct Dim {
    std::int64_t extent, dst, src;
  };
  template <class Row>
  void for_each_row(char* dst, const char* src, Row row) const;

  std::vector<Dim> dims_;  // outermost first: descending destination strides
  std::size_t run_ = 0;    // contiguous bytes on both sides
  std::size_t total_ = 0;
};

// Many contiguous copies as one piece of work, evenly over the threads.
struct FlatCopy {
  char* dst;
  const char* src;
  std::size_t nbytes;
};
void copy_flat_batch(const std::vector<FlatCopy>& copies);

}  // namespace accel_cpu
