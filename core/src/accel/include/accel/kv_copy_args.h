/* What a kernel of strided KV copies takes, in one piece of memory: this struct, then the planes
 * (accel_kv_plane), pairs of bases, and index lists that travel with the launch. Plain C, shared by
 * kernels (AscendC, BANG C) and the host; strides are in bytes where accel/kv_address.h says so,
 * addresses are those of the device. */
#ifndef ACCEL_KV_COPY_ARGS_H
#define ACCEL_KV_COPY_ARGS_H

#include "kv_address.h"

enum { ACCEL_KV_COPY_PLANES = 16 /* of a cache, at most */ };

/* Forms of a list. */
enum {
  ACCEL_KV_COUNTED = 0, /* 0, 1, 2, ... */
  ACCEL_KV_INT32 = 1,
  ACCEL_KV_INT64 = 2,
  ACCEL_KV_HERE32 = 3, /* int32, `data` bytes from the beginning of the arguments */
  ACCEL_KV_HERE64 = 4  /* int64, likewise */
};

/* The indices of one side. */
typedef struct accel_kv_list {
  unsigned long long data; /* device address */
  long long stride;        /* elements */
  long long bound;         /* an index must be below it; others are skipped and reported */
  long long form;
  long long argument; /* ACCEL_KV_ARGUMENT_... of a report */
} accel_kv_list;

/* Unit i is index src[i] of one list and dst[i] of the other; a negative one is skipped. Base pair
 * b is two addresses, of the source and of the destination, and belongs to plane b % planes. */
typedef struct accel_kv_copy_args {
  accel_kv_list src, dst;
  unsigned long long fault; /* device address of a record for each core; 0: nowhere */
  unsigned long long count; /* device address of the number of units (<= `units`); 0: as given */
  long long units;
  long long first;      /* what is added to a position in a report, and to a counted index */
  long long task_units; /* of one task, which is a stretch of units of one base */
  long long bases, planes;
  long long planes_at, bases_at; /* bytes from the beginning of the arguments */
  /* 0: no two units or bases have bytes in the same granule of the destination that cores must not
   * share, so that any core may write any of them. Else destinations in different groups of so many
   * indices have none in common, and one core writes all of a group. */
  long long group;
  long long fault_kind; /* ACCEL_KV_FAULT_... of a report */
} accel_kv_copy_args;

#endif
