/* What the kernels of strided.cu take: plain C, shared with the host.
 *
 * A copy moves units of 1, 2, 4, 8 or 16 bytes. Unit n of `units` is found by dividing n by the
 * extents, from the last axis to the first; axis k then adds index * stride to both addresses.
 * Division is by multiplication: floor(n / extent) = n * magic >> shift for n < 2^31, with
 * shift = 31 + ceil(log2 extent) and magic = floor(2^shift / extent) + 1. Larger copies divide.
 */
#ifndef ACCEL_CUDA_STRIDED_ARGS_H
#define ACCEL_CUDA_STRIDED_ARGS_H

#define ACCEL_STRIDED_AXES 12
#define ACCEL_STRIDED_SMALL (1ull << 31) /* below this many units, division is by multiplication */

/* Threads of a block of every kernel here, and units that a thread moves at a time. */
#define ACCEL_STRIDED_THREADS 256
#define ACCEL_STRIDED_UNROLL 4

/* Units of a row that a group of 32 threads moves at a time. */
#define ACCEL_ROW_PART 256

/* Units of a tile's side, and threads along it, when a copy transposes. */
#define ACCEL_TILE 32
#define ACCEL_TILE_ROWS 8

typedef struct accel_strided_axis {
  unsigned long long extent;
  long long dst; /* bytes from one index to the next */
  long long src;
  unsigned int magic;
  unsigned int shift;
} accel_strided_axis;

/* copy_strided_<unit>, fill_strided_<unit>: all axes, the units of a run among them as the last.
 * copy_rows_<unit>: the last axis is `row`; `units` counts parts of rows, and the last of the other
 * axes goes from part to part of a row. */
typedef struct accel_strided_args {
  unsigned long long dst;
  unsigned long long src;
  unsigned long long units;
  unsigned int axes;
  unsigned int value; /* fill: the byte, in all four */
  accel_strided_axis row; /* copy_rows only */
  accel_strided_axis axis[ACCEL_STRIDED_AXES];
} accel_strided_args;

/* copy_tiles_<unit>: `along_dst` is the axis whose units lie side by side in the destination,
 * `along_src` the one in the source. Tile n is (other axes, tile along_src, tile along_dst). */
typedef struct accel_tiles_args {
  unsigned long long dst;
  unsigned long long src;
  unsigned long long tiles;
  unsigned int axes; /* the others */
  unsigned int unused;
  accel_strided_axis along_dst;
  accel_strided_axis along_src;
  unsigned long long tiles_along_dst;
  unsigned long long tiles_along_src;
  accel_strided_axis axis[ACCEL_STRIDED_AXES];
} accel_tiles_args;

#endif
