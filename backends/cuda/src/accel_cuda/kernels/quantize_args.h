/* What quantize_rows.cu, quantize_columns.cu, quantize_strips.cu and dequantize.cu take: plain C, for kernels and host.
 * Addresses are of the device, steps in bytes. */
#ifndef ACCEL_CUDA_QUANTIZE_ARGS_H
#define ACCEL_CUDA_QUANTIZE_ARGS_H

#include "divisor.h"

enum { ACCEL_QUANTIZE_DIMS = 4 };

/* The operands, in this order wherever there are four of something. */
enum { ACCEL_VALUES, ACCEL_CODES, ACCEL_SCALES, ACCEL_OFFSETS, ACCEL_OPERANDS };

typedef struct accel_quantize_dim {
  accel_quotient extent;
  long long step[ACCEL_OPERANDS];
} accel_quantize_dim;

/* How codes come about: accel.kv.QuantSpec. */
typedef struct accel_quantize_spec {
  float steps;
  int zero, lowest, highest;
} accel_quantize_spec;

/* Segments: the channels of one row that share a scale, or of dequantisation, that lie in line. */
typedef struct accel_segment_args {
  unsigned long long base[ACCEL_OPERANDS];
  accel_quantize_dim dim[ACCEL_QUANTIZE_DIMS]; /* whose indices number the segments; outermost first */
  unsigned int dims, segments;
  long long value_step, code_step; /* from channel to channel, of packed codes from byte to byte */
  long long scale_step;            /* of dequantisation by channel, of scales and of offsets: */
  long long offset_step;
  unsigned int length;             /* channels of a segment */
  unsigned int chunks;             /* of what a thread takes at once, the last one may be short */
  unsigned int lanes_log;          /* log2 of the lanes that share a segment */
  unsigned int unused;
  accel_quotient chunks_by;
  accel_quantize_spec spec;
} accel_segment_args;

/* Columns: a scale for each channel, over the tokens.
 *
 * Channels are cut into slabs of `width` chunks, tokens into parts of `part` rows. Blocks take a
 * ticket: the ranges of slab i come before the codes of slab i, and the ranges of the `ahead` slabs
 * after it too, so that nobody waits for a block that has not started, and what is read twice is
 * still in the cache. Workspace, all zero before and after: ticket, blocks that are done, then a
 * accel_column_slab for each slab with its ranges. */
typedef struct accel_column_args {
  unsigned long long base[ACCEL_OPERANDS];
  accel_quantize_dim dim[ACCEL_QUANTIZE_DIMS]; /* the axes outside of tokens and channels */
  unsigned int dims, outer;
  long long token_step[2];   /* values, codes */
  long long channel_step[4]; /* values, codes, scales, offsets; of packed codes from byte to byte */
  unsigned int tokens, channels;
  unsigned int chunks;     /* of a row: what a thread takes at once */
  unsigned int width_log;  /* log2 of the chunks of a slab */
  accel_quotient parts;    /* of a slab */
  accel_quotient slabs_by; /* of one outer index */
  unsigned int part, slabs, ahead, unused;
  unsigned long long workspace;
  accel_quantize_spec spec;
} accel_column_args;

/* 32-bit words of the workspace: of the launch, of a slab beside its ranges. */
enum { ACCEL_COLUMN_WORDS = 4, ACCEL_SLAB_WORDS = 4 };

#endif
