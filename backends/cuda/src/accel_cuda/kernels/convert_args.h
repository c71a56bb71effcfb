/* What convert.cu takes: plain C, for the kernel and the host. Addresses are of the device, steps in
 * bytes but where they say otherwise. */
#ifndef ACCEL_CUDA_CONVERT_ARGS_H
#define ACCEL_CUDA_CONVERT_ARGS_H

#include "divisor.h"

enum {
  ACCEL_CONVERT_DIMS = 9,
  ACCEL_CONVERT_PLANES = 2,
  ACCEL_CONVERT_HERE = 64,
  /* How convert_elements is launched. */
  ACCEL_CONVERT_THREADS = 128,
  /* Bytes of a chunk: two loads may share their lines; neighbours' stores shall be one run. */
  ACCEL_CONVERT_LOADED = 32,
  ACCEL_CONVERT_STORED = 16
};

/* Chunks under way at once, of one thread, by ACCEL_VECTOR. */
#define ACCEL_CONVERT_TAKEN(vector) ((vector) > 16 ? 4 : 3)

/* Where a unit starts in a plane: accel_kv_paging. */
typedef struct accel_convert_paging {
  accel_quotient block; /* units of a block */
  long long block_stride, slot_stride;
} accel_convert_paging;

/* data[layer * layer_step + unit * unit_step + head * head_step], or if data is 0 `number`. */
typedef struct accel_convert_scale {
  unsigned long long data;
  long long layer_step, unit_step, head_step; /* elements */
  float number;
  int unused;
} accel_convert_scale;

typedef struct accel_convert_dim {
  accel_quotient size;
  long long src, dst, src_head, dst_head; /* heads: whose scale it is, along this dimension */
} accel_convert_dim;

/* A unit is `runs` runs of `chunks` chunks: the index in dim (outermost first), then `chunks` along a run. */
typedef struct accel_convert_plane {
  accel_convert_paging src, dst;
  accel_convert_dim dim[ACCEL_CONVERT_DIMS];
  unsigned int dims, unused;
  accel_quotient chunks, runs;
  accel_convert_scale src_scale, dst_scale;
  unsigned int base; /* its pair of bases in a layer's */
  unsigned int unused_2;
} accel_convert_plane;

/* Which unit goes where. */
typedef struct accel_convert_pair {
  long long src, dst;
} accel_convert_pair;

enum {
  ACCEL_CONVERT_COUNTED, /* unit i to unit i, from `first` on */
  ACCEL_CONVERT_PAIRS,   /* pairs that the host has checked: at `list`, or if that is 0 in `here` */
  ACCEL_CONVERT_SLOTS    /* i to slot i of the index tensor at `list`, below `slots` */
};

typedef struct accel_convert_args {
  accel_convert_plane plane[ACCEL_CONVERT_PLANES];
  unsigned long long bases;    /* a table of addresses, source and destination for every layer and
                                  plane; 0: */
  unsigned long long base[2 * ACCEL_CONVERT_PLANES]; /* of the only layer */
  unsigned long long fault, list;
  long long slots, slot_step; /* slot_step: elements */
  long long first;
  unsigned int planes, bases_each; /* of this launch; pairs of bases in a layer */
  unsigned int units;
  int form, wide, unused;
  accel_convert_pair here[ACCEL_CONVERT_HERE];
} accel_convert_args;

#endif
