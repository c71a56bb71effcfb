/* Cosine and sine of a whole number of steps: fixed point and float32 alone, the same bits wherever
 * it is compiled. */
#ifndef ACCEL_CUDA_COS_SIN_H
#define ACCEL_CUDA_COS_SIN_H

#include "device.h"

#include <accel/kv_number.h>

/* Of `steps` steps of `fraction` / 2^64 turns each, within 0.6 of float32's last place.
 *
 * Whole turns fall off the product's upper end, so that no step is too far: the angle is off by at
 * most |steps| / 2^65 turns, which for steps below 2^21 is less than double precision loses. What is
 * left of quarter turns, at most an eighth of a turn, is split into two floats: the first goes
 * through the Taylor series, to r^9 and r^10, the second and the square's own rounding are
 * first-order corrections. */
ACCEL_DEVICE void accel_cos_sin(accel_i32 steps, accel_u64 fraction, float* cosine, float* sine) {
  const accel_u64 turns = (accel_u64)(accel_i64)steps * fraction;
  const accel_u32 top = (accel_u32)(turns >> 32), quarter = (top + 0x20000000u) >> 30;
  const accel_i32 left = (accel_i32)(top - (quarter << 30)); /* in 2^-32 turns */
  const accel_i32 high = left & ~0x7F;                       /* exact as a float */
  const float h = (float)high, l = (float)(left - high);
  const float unit = 0x1.921fb6p-30f, below = -0x1.777a5cp-55f; /* 2 pi / 2^32 */
  const float r = h * unit;
  const float rest = accel_fma(h, unit, -r) + accel_fma(h, below, l * unit);

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

  const float along = quarter & 1u ? s : c, across = quarter & 1u ? c : s;
  *cosine = accel_of_bits(accel_bits_of(along) ^ ((quarter + 1u) & 2u) << 30);
  *sine = accel_of_bits(accel_bits_of(across) ^ (quarter & 2u) << 30);
}

#endif
