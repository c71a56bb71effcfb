// The row loops for what every processor of the build's architecture has.
#include "rows.hpp"

#include <accel/kv_number.h>
#include <cstring>

namespace accel_cpu::numeric {
namespace {
#define ACCEL_ROW_LANES 4
#include "row_loops.hpp"
constexpr RowKernels kRows = table("portable");
}  // namespace

const RowKernels* portable_rows() { return &kRows; }

}  // namespace accel_cpu::numeric
