/* Division by a number that is known beforehand: plain C, for kernels and for the host. */
#ifndef ACCEL_CUDA_DIVISOR_H
#define ACCEL_CUDA_DIVISOR_H

/* n / by = (n * magic >> 32) + n >> shift, for n < 2^31 and 1 <= by < 2^31 (Granlund and Montgomery,
 * Division by Invariant Integers using Multiplication, 1994). */
typedef struct accel_quotient {
  unsigned int by, magic, shift, unused;
} accel_quotient;

/* Runtime compilers take no functions of the host. */
#if !defined(__CUDACC_RTC__) && !defined(__HIPCC_RTC__)
static inline accel_quotient accel_quotient_by(unsigned int by) {
  accel_quotient q;
  unsigned int shift = 0;
  while ((1ull << shift) < by) ++shift;
  q.by = by;
  q.shift = shift;
  q.magic = (unsigned int)((1ull << 32) * ((1ull << shift) - by) / by + 1);
  q.unused = 0;
  return q;
}
#endif

#endif
