/* A kernel's way to say that it met something wrong: plain C, shared by kernels and the host.
 *
 * Every stream has one record in pinned host memory; a launch passes its device address in the
 * argument struct. The first thread that takes `state` from 0 to 1 (atomicCAS) fills in the rest,
 * then sets `state` to 2 after a system-wide fence; other faults of the same launch are dropped. The
 * kernel goes on without the element at fault and never touches its address. The next
 * synchronisation with the stream raises what the record says, and clears it.
 */
#ifndef ACCEL_CUDA_FAULT_RECORD_H
#define ACCEL_CUDA_FAULT_RECORD_H

/* Kinds. */
#define ACCEL_FAULT_SLOT 1       /* `index`, entry `position` of a slot list, not below `limit` */
#define ACCEL_FAULT_BLOCK 2      /* the same of a block list or table */
#define ACCEL_FAULT_POSITION 3   /* a token position that the rotation table does not have */
#define ACCEL_FAULT_CODEC 4      /* a finding of the entropy coder, see coding_findings.h */
#define ACCEL_FAULT_LENGTH 5     /* a sequence length that its block table does not hold */

/* Which argument the fault is in. */
#define ACCEL_FAULT_ARG_NONE 0
#define ACCEL_FAULT_ARG_SRC 1    /* src_slots, src_blocks */
#define ACCEL_FAULT_ARG_DST 2    /* dst_slots, dst_blocks */
#define ACCEL_FAULT_ARG_SLOTS 3  /* slots */
#define ACCEL_FAULT_ARG_TABLE 4  /* block_table */
#define ACCEL_FAULT_ARG_OLD 5    /* old_positions */
#define ACCEL_FAULT_ARG_NEW 6    /* new_positions */
#define ACCEL_FAULT_ARG_DATA 7   /* encoded data */
#define ACCEL_FAULT_ARG_LENGTHS 8

typedef struct AccelFaultRecord {
  unsigned int state; /* 0 none, 1 being written, 2 complete */
  unsigned int kind;
  unsigned int argument;
  unsigned int padding;
  long long index;    /* what was found */
  long long limit;    /* what it has to be below */
  long long position; /* where in the argument */
  long long unused[3];
} AccelFaultRecord; /* 64 bytes */

#endif
