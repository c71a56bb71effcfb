// Arithmetic on rows of contiguous elements, once for each instruction set. All give the same bits,
// but for the payload of NaN: IEEE float32, one rounding an operation, no fused multiply-add.
//
// Drivers stage rows through a buffer of up to kTile floats: load, compute, store.
#pragma once

#include <accel/number_kind.hpp>

#include <cstddef>
#include <cstdint>

namespace accel_cpu::numeric {

using Kind = accel::NumberKind;
using accel::kind_from_name;
using accel::size_of;
constexpr int kKinds = accel::kNumberKinds;

constexpr std::size_t kTile = 512;

struct RowKernels {
  const char* name;  // "avx512", "avx2", "portable"

  // By Kind, as accel/kv_number.h says. `store` rounds to nearest even; fp8 and int8 saturate.
  void (*load[kKinds])(const void* from, std::size_t n, float* to);
  void (*store[kKinds])(const float* from, std::size_t n, void* to);

  // In place.
  void (*divide)(float* x, std::size_t n, float by);
  void (*divide_each)(float* x, std::size_t n, const float* by);
  void (*multiply)(float* x, std::size_t n, float by);
  void (*multiply_each)(float* x, std::size_t n, const float* by);
  void (*add)(float* x, std::size_t n, float what);
  void (*add_each)(float* x, std::size_t n, const float* what);
  void (*subtract_each)(float* x, std::size_t n, const float* what);

  // Widens [*low, *high] to the finite values of x: as one range, or element by element.
  void (*range)(const float* x, std::size_t n, float* low, float* high);
  void (*range_each)(const float* x, std::size_t n, float* low, float* high);

  // Neighbouring groups of `size` elements, one group or kTile elements at most. The range of each group's finite
  // values (+inf, -inf without any), and values[i] to all of group i.
  void (*range_groups)(const float* x, std::size_t groups, std::size_t size, float* low,
                       float* high);
  void (*spread)(const float* values, std::size_t groups, std::size_t size, float* to);

  // to[i] = low byte of the integer nearest to x[i] + zero within lowest to highest; zero for NaN.
  void (*store_codes)(const float* x, std::size_t n, int zero, int lowest, int highest,
                      std::uint8_t* to);
  // to[i] = code - zero
  void (*load_codes)(const std::uint8_t* from, std::size_t n, bool is_signed, int zero, float* to);

  // The same with scales and offsets: for each element, or one for all (`each` false); no offsets if
  // null. To the code of (x[i] - offset) / scale, and to (code - zero) * scale + offset.
  void (*encode)(const float* x, std::size_t n, const float* scales, const float* offsets, bool each,
                 int zero, int lowest, int highest, std::uint8_t* to);
  void (*decode)(const std::uint8_t* from, std::size_t n, bool is_signed, int zero,
                 const float* scales, const float* offsets, bool each, float* to);

  // Codes two to a byte, the even one in the low four bits; back with their sign.
  void (*pack4)(const std::uint8_t* codes, std::size_t bytes, std::uint8_t* to);
  void (*unpack4)(const std::uint8_t* from, std::size_t bytes, std::uint8_t* codes);

  // (x, y) turned by angles with these cosines and sines: (x c - y s, x s + y c).
  void (*rotate_halves)(float* x, float* y, std::size_t n, const float* c, const float* s);
  void (*rotate_pairs)(float* xy, std::size_t pairs, const float* c, const float* s);

  // Cosines and sines of |angle| <= 2^31, within float32's last place (below 2^20: nearest but for
  // the rarest ties).
  void (*cos_sin)(const double* angle, std::size_t n, float* c, float* s);
};

// nullptr when this processor, or this build, does not have it.
const RowKernels* portable_rows();
const RowKernels* avx2_rows();
const RowKernels* avx512_rows();

// The best of this processor, or what use_rows() chose.
const RowKernels& rows();

// By name; false when it is not there. For tests.
bool use_rows(const char* name);

}  // namespace accel_cpu::numeric
