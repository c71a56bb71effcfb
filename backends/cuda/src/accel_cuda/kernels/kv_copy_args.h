/* What the strided-copy kernels of kv_copy.cu take: one struct by value, filled by native/kv/copy.
 *
 * Plain C: the host includes it as it stands. All strides are in bytes, all pointers
 * 64-bit. A launch copies `units` units; unit i is index src[i] of one list and dst[i] of the other.
 * Planes that have the same strides are one kind: its bases (one pair of addresses for every layer
 * and plane) are copied alike, and each is cut into the same number of tiles.
 */
#ifndef ACCEL_KV_COPY_ARGS_H
#define ACCEL_KV_COPY_ARGS_H

#include "divisor.h"

enum {
  ACCEL_COPY_KINDS = 2,
  ACCEL_COPY_DIMS = 8,
  ACCEL_COPY_ARGS_BYTES = 4096, /* what every device takes as arguments of a launch */
  ACCEL_COPY_WORDS = 391,       /* 8-byte words left beside the rest of the struct */
  ACCEL_COPY_FEW_WORDS = 64,    /* 64 pairs of int32 */
  /* How kv_copy.cu is launched. */
  ACCEL_COPY_THREADS = 128,
  ACCEL_COPY_LOADS = 8 /* vectors under way at once by one thread */
};

/* The same of rows, by the bytes of a vector. Few of whole vectors: short blocks, which follow one
 * another, read and write memory nearly in order. And not a power of two: tiles that all begin alike
 * in their pages meet in the same banks (H200: 0.87 of a plain copy by four, 0.96 by three). */
#define ACCEL_COPY_ROW_LOADS(width) ((width) == 16 ? 3 : ACCEL_COPY_LOADS)

/* Squares under way at once by one thread, by the bytes of an element. */
#define ACCEL_COPY_SQUARES(width) ((width) == 16 ? 3 : (width) == 8 ? 2 : 1)

/* Where units start on one side: accel_kv_paging with its division prepared. Indices times block_size
 * stay below 2^64: then index / block_size is the high word of index * magic. */
typedef struct accel_copy_side {
  unsigned long long magic; /* 2^64 / block_size, rounded up; 0 for blocks of one unit */
  long long block_size;     /* units */
  long long block_stride, slot_stride;
} accel_copy_side;

enum { ACCEL_COPY_DEALT_NONE = 0, ACCEL_COPY_DEALT_SRC = 1, ACCEL_COPY_DEALT_DST = 2 };

/* Planes of the same strides.
 *
 * Rows: a unit is `runs` runs, whose places are the index in `size` times the strides, innermost
 * last. A run is `vectors` vectors of `width` bytes, of which the first is short by `lead` bytes
 * and the last ends at run_bytes.
 * Turned: the last two of `size` are counted in squares of 16 bytes by 16 bytes, of elements of
 * `width` bytes: along `turn_src` elements are neighbours in the source, along `turn_dst` in the
 * destination. There `vectors` is the number of squares side by side along the source that
 * neighbouring threads take, and `runs` that of all squares of a unit. Where the lines of a square,
 * of 16 bytes each, lie in short stretches on one side, `dealt` says on which: those of 32 squares
 * are then moved in the order of that side, on which 2^beside_shift squares lie side by side.
 */
typedef struct accel_copy_kind {
  accel_copy_side src, dst;
  long long src_stride[ACCEL_COPY_DIMS], dst_stride[ACCEL_COPY_DIMS];
  accel_quotient size[ACCEL_COPY_DIMS];
  accel_quotient vectors, runs;
  accel_quotient split; /* a base's tiles, or with `bases_inner` the bases */
  long long turn_src, turn_dst; /* destination stride along turn_src; source stride along turn_dst */
  unsigned run_bytes, ndim, width, lead;
  unsigned bases, first_base, bases_inner;
  unsigned whole;      /* every vector is of `width` bytes */
  unsigned total;      /* vectors, or squares, of a base */
  unsigned first_tile; /* tiles of the kinds before */
  unsigned dealt;      /* ACCEL_COPY_DEALT_... */
  unsigned beside_shift;
} accel_copy_kind;

enum { ACCEL_COPY_COUNTED = 0, ACCEL_COPY_INT32 = 1, ACCEL_COPY_INT64 = 2, ACCEL_COPY_HERE = 3 };

/* The indices of one side. */
typedef struct accel_copy_list {
  unsigned long long data; /* device address; ACCEL_COPY_HERE: index of an int32 in `words` */
  long long stride;        /* elements */
  long long bound;         /* an index must be below it; others are skipped and reported */
  unsigned form;           /* ACCEL_COPY_... */
  unsigned argument;       /* ACCEL_FAULT_ARG_... of a report */
} accel_copy_list;

typedef struct accel_copy_head {
  accel_copy_kind kind[ACCEL_COPY_KINDS];
  accel_copy_list src, dst;
  unsigned long long table; /* device address of the pairs of bases; 0: they lead `words` */
  unsigned long long fault; /* where an index out of range is reported; 0: nowhere */
  unsigned long long count; /* device address of the number of units, at most `units`; 0: as given */
  unsigned units, tiles, kinds;
  unsigned fault_kind; /* ACCEL_FAULT_... of a report */
} accel_copy_head;

typedef struct accel_copy_args {
  accel_copy_head head;
  unsigned long long words[ACCEL_COPY_WORDS]; /* pairs of bases, then indices */
} accel_copy_args;

/* The same for few units, whose bases are in a table: a launch costs by the size of its arguments. */
typedef struct accel_copy_few_args {
  accel_copy_head head;
  unsigned long long words[ACCEL_COPY_FEW_WORDS]; /* indices */
} accel_copy_few_args;

#endif /* ACCEL_KV_COPY_ARGS_H */
