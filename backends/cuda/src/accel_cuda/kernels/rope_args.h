/* What rope.cu takes: plain C, for the kernel and the host. Addresses are of the device. */
#ifndef ACCEL_CUDA_ROPE_ARGS_H
#define ACCEL_CUDA_ROPE_ARGS_H

#include "divisor.h"

enum { ACCEL_ROPE_DIMS = 4, ACCEL_ROPE_HERE = 48 };

/* A token that moves, where the host has read the positions: bytes from a layer's base to its first
 * head, and both positions. */
typedef struct accel_rope_token {
  long long offset;
  int from, to;
} accel_rope_token;

/* An index tensor; `wide` for int64, else int32. Strides come with what is walked. */
typedef struct accel_rope_list {
  unsigned long long data;
  long long stride; /* elements; of slots and of a cache's positions */
  int wide, unused;
} accel_rope_list;

/* One leading axis of keys in a tensor. */
typedef struct accel_rope_dim {
  accel_quotient extent;
  long long step;     /* bytes */
  long long old_step; /* elements */
  long long new_step;
} accel_rope_dim;

typedef struct accel_rope_args {
  unsigned long long base;  /* of the only layer, or 0: */
  unsigned long long bases; /* a table of them */
  unsigned long long fault; /* AccelFaultRecord */

  /* Which tokens. Listed: the host has read the positions, and the tokens that move are at `list`,
   * or if that is 0 in `here`. Else positions are read from the device; with slots, of a cache. */
  unsigned long long list;
  accel_rope_list slots, old_positions, new_positions;
  accel_rope_dim dim[ACCEL_ROPE_DIMS]; /* outermost first; of a tensor */
  long long positions;                 /* from 0 to this, exclusive */
  long long units;                     /* slots of the cache */
  accel_quotient block;                /* slots of a block of the cache */
  long long block_stride, slot_stride; /* bytes */
  int listed, dims;
  unsigned int tokens, layers;

  /* What is rotated. Channel d of a head is at (d / inner) * outer_stride + (d % inner) * stride. */
  long long head_stride, stride, outer_stride; /* bytes */
  unsigned int inner, first, pairs;

  /* How the work is cut. A block takes `tile` tokens, in layers_each layers, and `piece` chunks of
   * each head, from chunk accel_block_z() * piece on; a chunk is what one thread loads of a head.
   * Its threads are chunks, then head_lanes (thread i of them takes the heads i, i + head_lanes,
   * ...), then tokens, the first running fastest; or tokens, chunks, head_lanes. */
  unsigned int tile, layers_each, piece, chunks;
  unsigned int heads, head_lanes;
  accel_quotient inner_by, middle_by; /* extents of the threads' first and second axis */
  int tokens_first;
  int alone; /* each thread finds its pairs' cosines and sines itself */

  /* A cos_sin_cache, or if that is 0 a table of each pair's turns per position, times 2^64. */
  unsigned long long table, turns;
  long long table_row, table_step; /* bytes */
  int table_kind, unused_2;
  accel_rope_token here[ACCEL_ROPE_HERE];
} accel_rope_args;

#endif
