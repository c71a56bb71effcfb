/* Exact division by one float of many: a reciprocal, and corrections by fused multiply-adds. */
#ifndef ACCEL_CUDA_QUOTIENT_H
#define ACCEL_CUDA_QUOTIENT_H

#include "device.h"

#include <accel/kv_number.h>

#include "divisor.h"

ACCEL_DEVICE accel_u32 accel_divide(accel_u32 n, const accel_quotient& by) {
  return (accel_mul_high(n, by.magic) + n) >> by.shift;
}

/* Whether accel_divide_by may be used for quotients that are rounded to a code: then neither the
 * reciprocal nor a remainder of any quotient above 2^-18 leaves the normal range. The significand of
 * all ones is the one whose reciprocal does not do (Markstein, Computation of elementary functions
 * on the IBM RISC System/6000 processor, 1990, theorem 7). */
ACCEL_DEVICE bool accel_divides_fast(float by) {
  return by >= 0x1p-60f && by <= 0x1p100f && (accel_bits_of(by) & 0x7FFFFFu) != 0x7FFFFFu;
}

/* x / by rounded to nearest even, for finite x with a finite quotient, given the correctly rounded
 * reciprocal; quotients below 2^-18 are only near. Zeros keep their sign: the remainder is formed
 * with the sign that leaves it so. */
ACCEL_DEVICE float accel_divide_by(float x, float by, float reciprocal) {
  const float near = x * reciprocal;
  const float nearer = accel_fma(-accel_fma(near, by, -x), reciprocal, near);
  return accel_fma(-accel_fma(nearer, by, -x), reciprocal, nearer);
}

#endif
