// Quotients as quotient.h makes them against the division of the machine, where rounding to a code
// decides: next to odd numbers.
#include "device.h"
#include "quotient.h"

struct quotients_args {
  accel_u64 significands;  // uint32, of divisors
  accel_u64 wrong;         // uint32, two for each: of accel_divide_by, of accel_multiply_by
  accel_u32 count, unused;
};

ACCEL_DEVICE bool same_side(float a, float b, float limit) {
  return (a < limit) == (b < limit) && (a > limit) == (b > limit);
}

ACCEL_KERNEL(try_quotients, quotients_args, args) {
  const accel_u32 i = accel_block_x() * accel_threads() + accel_thread();
  if (i >= args.count) return;
  const accel_u32 significand = accel_pointer<const accel_u32>(args.significands)[i];
  const float by = accel_of_bits(0x3F800000u | significand);
  const float reciprocal = 1.0f / by, rest = accel_rest_of(by, reciprocal);
  accel_u32 wrong[2] = {0, 0};
  for (accel_u32 odd = 1; odd < 512; odd += 2) {
    const float limit = (float)odd;
    for (accel_u32 k = 0; k < 7; ++k) {
      const float x = accel_of_bits(accel_bits_of(limit * by) + k - 3);
      const float exact = x / by;
      wrong[0] += !same_side(accel_divide_by(x, by, reciprocal), exact, limit);
      wrong[1] += !same_side(accel_multiply_by(x, reciprocal, rest), exact, limit);
    }
  }
  accel_u32* const out = accel_pointer<accel_u32>(args.wrong) + 2 * i;
  out[0] = wrong[0];
  out[1] = wrong[1];
}
