/* The parameter of a launch of accel_kv_copy, by value: accel_kv_copy_args and what follows it. Plain
 * C. */
#ifndef ACCEL_MLU_COPY_LAUNCH_H
#define ACCEL_MLU_COPY_LAUNCH_H

enum { ACCEL_MLU_ARGS_BYTES = 4096 };

typedef union accel_mlu_copy_launch {
  unsigned long long words[ACCEL_MLU_ARGS_BYTES / 8];
  long long wide[ACCEL_MLU_ARGS_BYTES / 8];
  int narrow[ACCEL_MLU_ARGS_BYTES / 4];
} accel_mlu_copy_launch;

#endif
