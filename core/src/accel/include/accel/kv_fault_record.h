/* How a kernel says that it met something wrong: plain C, shared by kernels and the host.
 *
 * A launch passes the device address of one record for each of its cores, so that no two of them
 * write the same 32 bytes. A core writes the first fault that it meets, if its record is empty, and
 * goes on without the element at fault; it never touches that address. The host copies the records
 * back behind the launch, raises the one of the lowest position and clears them.
 */
#ifndef ACCEL_KV_FAULT_RECORD_H
#define ACCEL_KV_FAULT_RECORD_H

enum {
  /* Kinds. */
  ACCEL_KV_FAULT_SLOT = 1,   /* `index`, entry `position` of a slot list, not below `limit` */
  ACCEL_KV_FAULT_BLOCK = 2,  /* the same of a block list or table */
  ACCEL_KV_FAULT_LENGTH = 3, /* a sequence that its row of the block table does not hold */
  /* Arguments. */
  ACCEL_KV_ARGUMENT_SRC = 1,
  ACCEL_KV_ARGUMENT_DST = 2,
  ACCEL_KV_ARGUMENT_SLOTS = 3,
  ACCEL_KV_ARGUMENT_TABLE = 4,
  ACCEL_KV_ARGUMENT_LENGTHS = 5,
  /* Sizes. */
  ACCEL_KV_FAULT_BYTES = 64
};

typedef struct accel_kv_fault {
  long long state; /* 0 none, 1 filled */
  long long kind;
  long long argument;
  long long index;    /* what was found */
  long long limit;    /* what it has to be below */
  long long position; /* where in the argument */
  long long unused[2];
} accel_kv_fault;

#endif
