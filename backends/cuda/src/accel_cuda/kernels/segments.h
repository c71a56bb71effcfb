/* Where a segment's operands start. */
#ifndef ACCEL_CUDA_SEGMENTS_H
#define ACCEL_CUDA_SEGMENTS_H

#include "quantize_args.h"
#include "quotient.h"

struct accel_place {
  char* at[ACCEL_OPERANDS];
};

ACCEL_DEVICE accel_place accel_place_of(const unsigned long long* base,
                                        const accel_quantize_dim* dim, unsigned dims,
                                        accel_u32 index) {
  accel_i64 offset[ACCEL_OPERANDS] = {0, 0, 0, 0};
  if (dims == 1) { /* as a rule */
    ACCEL_UNROLL for (int w = 0; w < ACCEL_OPERANDS; ++w) offset[w] = index * dim[0].step[w];
  } else {
    accel_u32 rest = index;
    ACCEL_NO_UNROLL for (int d = (int)dims - 1; d >= 0; --d) {
      const accel_u32 outer = d == 0 ? 0 : accel_divide(rest, dim[d].extent);
      const accel_i64 within = rest - outer * dim[d].extent.by;
      ACCEL_UNROLL for (int w = 0; w < ACCEL_OPERANDS; ++w) offset[w] += within * dim[d].step[w];
      rest = outer;
    }
  }
  accel_place place;
  ACCEL_UNROLL for (int w = 0; w < ACCEL_OPERANDS; ++w) {
    place.at[w] = accel_pointer<char>(base[w]) + offset[w];
  }
  return place;
}

#endif
