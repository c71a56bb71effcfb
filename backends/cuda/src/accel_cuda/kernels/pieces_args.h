/* What the kernel of pieces.cu takes: plain C, shared with the host. */
#ifndef ACCEL_CUDA_PIECES_ARGS_H
#define ACCEL_CUDA_PIECES_ARGS_H

/* Contiguous bytes from one place to another; any alignment. */
typedef struct accel_piece {
  unsigned long long dst;
  unsigned long long src;
  unsigned long long nbytes;
} accel_piece;

#define ACCEL_PIECES_THREADS 256
#define ACCEL_PIECES_INLINE 160 /* 3840 bytes: every driver takes 4096 of arguments */

/* copy_pieces: `count` pieces, from `list` where it is not 0 (memory that the device can read and
 * nothing writes before the kernel has run), else the first of `piece`. */
typedef struct accel_pieces_args {
  unsigned long long list;
  unsigned int count;
  unsigned int unused;
  accel_piece piece[ACCEL_PIECES_INLINE];
} accel_pieces_args;

/* copy_flat: one copy, in parts that blocks take in turn. */
#define ACCEL_FLAT_PART 16384

typedef struct accel_flat_args {
  unsigned long long dst;
  unsigned long long src;
  unsigned long long nbytes;
} accel_flat_args;

#endif
