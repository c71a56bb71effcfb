/* Division by one float of many, for quotients that are rounded to a code: a reciprocal, and a
 * correction. */
#ifndef ACCEL_CUDA_QUOTIENT_H
#define ACCEL_CUDA_QUOTIENT_H

#include "device.h"

#include <accel/kv_number.h>

#include "divisor.h"

ACCEL_DEVICE accel_u32 accel_divide(accel_u32 n, const accel_quotient& by) {
  return (accel_mul_high(n, by.magic) + n) >> by.shift;
}

/* Whether accel_divide_by may be used, and accel_multiply_by: neither the reciprocal nor a remainder
 * of any quotient above 2^-18 leaves the normal range, and the significand is not that of all ones,
 * whose reciprocal is too far off. */
ACCEL_DEVICE bool accel_divides_fast(float by) {
  return by >= 0x1p-60f && by <= 0x1p100f && (accel_bits_of(by) & 0x7FFFFFu) != 0x7FFFFFu;
}

/* x / by for finite x, given the correctly rounded reciprocal: rounded to fp8 or to an integer below
 * 256 it is the same as the quotient in float32 is. Such rounding has its limits at odd numbers below
 * 512 times powers of two, and the quotients next to those were tried for every significand
 * (test_quotients.py). Quotients below 2^-18 are only near. Zeros keep their sign: the remainder is
 * formed with the sign that leaves it so. */
ACCEL_DEVICE float accel_divide_by(float x, float by, float reciprocal) {
  const float near = x * reciprocal;
  return accel_fma(-accel_fma(near, by, -x), reciprocal, near);
}

/* The same but for the sign of zeros, given what the reciprocal lacks too. */
ACCEL_DEVICE float accel_multiply_by(float x, float reciprocal, float rest) {
  return accel_fma(x, reciprocal, x * rest);
}
ACCEL_DEVICE float accel_rest_of(float by, float reciprocal) {
  return accel_fma(-by, reciprocal, 1.0f) * reciprocal;
}

#endif
