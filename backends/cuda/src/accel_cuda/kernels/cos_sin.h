/* Cosine and sine of an angle in double precision, rounded to float32: the same bits wherever it is
 * compiled, and little work in double precision, which few chips do fast. */
#ifndef ACCEL_CUDA_COS_SIN_H
#define ACCEL_CUDA_COS_SIN_H

#include "device.h"

#include <accel/kv_number.h>

#if defined(__CUDA_ARCH__) && !defined(ACCEL_HOST_SHIM)
ACCEL_DEVICE double accel_fma_double(double a, double b, double c) { return __fma_rn(a, b, c); }
ACCEL_DEVICE double accel_cos_double(double x) { return cos(x); }
ACCEL_DEVICE double accel_sin_double(double x) { return sin(x); }
#else
ACCEL_DEVICE double accel_fma_double(double a, double b, double c) {
  return __builtin_fma(a, b, c);
}
ACCEL_DEVICE double accel_cos_double(double x) { return __builtin_cos(x); }
ACCEL_DEVICE double accel_sin_double(double x) { return __builtin_sin(x); }
#endif

ACCEL_DEVICE accel_u32 accel_low_bits(double x) {
  union {
    double d;
    accel_u64 u;
  } pun;
  pun.d = x;
  return (accel_u32)pun.u;
}

/* Within 0.6 of float32's last place.
 *
 * Quarter turns are taken off in two parts of pi/2, each product exact by a fused multiply-add (Cody
 * and Waite, Software Manual for the Elementary Functions, 1980). What is left, at most an eighth of
 * a turn, is split into two floats: the first goes through the Taylor series, to r^9 and r^10, the
 * second and the square's own rounding are first-order corrections. */
ACCEL_DEVICE void accel_cos_sin(double angle, float* cosine, float* sine) {
  if (!(angle < 0x1p40 && angle > -0x1p40)) {  /* only scalings that quicken rotations come here */
    *cosine = (float)accel_cos_double(angle);
    *sine = (float)accel_sin_double(angle);
    return;
  }
  const double shifted = angle * 0x1.45f306dc9c883p-1 + 0x1.8p52; /* the integer in the low bits */
  const double turns = shifted - 0x1.8p52;
  const double part = accel_fma_double(-turns, 0x1.921fb54442d18p+0, angle);
  const double left = accel_fma_double(-turns, 0x1.1a62633145c07p-54, part);
  const float r = (float)left, rest = (float)(left - (double)r);

  const float square = r * r, error = accel_fma(r, r, -square);
  float p = accel_fma(2.75573192e-6f, square, -1.98412698e-4f);
  p = accel_fma(p, square, 8.33333333e-3f);
  p = accel_fma(p, square, -1.66666667e-1f);
  const float half = 0.5f * square, near = 1.0f - half;
  const float s = r + accel_fma(r * square, p, rest * near);
  float q = accel_fma(-2.75573192e-7f, square, 2.48015873e-5f);
  q = accel_fma(q, square, -1.38888889e-3f);
  q = accel_fma(q, square, 4.16666667e-2f);
  const float lost = (1.0f - near) - half;
  const float small = accel_fma(-r, rest, lost) - 0.5f * error;
  const float c = near + accel_fma(square * square, q, small);

  const accel_u32 quarter = accel_low_bits(shifted);
  const float along = quarter & 1u ? s : c, across = quarter & 1u ? c : s;
  *cosine = accel_of_bits(accel_bits_of(along) ^ ((quarter + 1u) & 2u) << 30);
  *sine = accel_of_bits(accel_bits_of(across) ^ (quarter & 2u) << 30);
}

#endif
