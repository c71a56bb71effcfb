// What must hold before a copy writes its first byte. Everything here raises accel.errors classes
// and needs the GIL.
#pragma once

#include <accel/operand.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../runtime/region.hpp"
#include "../runtime/strided_copy.hpp"

namespace accel_cpu {

struct CopyPair {
  accel::Operand dst, src;
  std::shared_ptr<const StridedCopy> plan;  // null when both are contiguous
  Region dst_region, src_region;            // set when the plan is
};

// Both operands, of the same bytes, on the CPU, sharing none.
CopyPair check_pair(PyObject* dst, const std::string& dst_name, PyObject* src,
                    const std::string& src_name);

// No pair's destination shares a byte with another pair's destination or source.
void check_batch_overlap(const std::vector<CopyPair>& pairs);

struct Rows {
  accel::Operand dst, src;
  std::shared_ptr<const StridedCopy> plan;  // null when there is nothing to copy
};
Rows check_rows(PyObject* dst, PyObject* src, PyObject* width, PyObject* height,
                PyObject* dst_pitch, PyObject* src_pitch);

struct Fill {
  accel::Operand dst;
  std::uint8_t value;
  std::shared_ptr<const StridedCopy> plan;  // null when contiguous
};
Fill check_fill(PyObject* dst, PyObject* value);

}  // namespace accel_cpu
