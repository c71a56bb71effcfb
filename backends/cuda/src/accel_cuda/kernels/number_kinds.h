/* What elements are, as kernels' defines and argument structs name them: plain C. */
#ifndef ACCEL_CUDA_NUMBER_KINDS_H
#define ACCEL_CUDA_NUMBER_KINDS_H

#define ACCEL_F32 0
#define ACCEL_F16 1
#define ACCEL_BF16 2
#define ACCEL_E4M3 3
#define ACCEL_E5M2 4
#define ACCEL_I8 5
#define ACCEL_U8 6
#define ACCEL_I4 7 /* two to a byte */

#endif
