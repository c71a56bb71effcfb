/* What the host hands to the kernels of the entropy coder: plain C, for both sides. */
#ifndef ACCEL_CUDA_CODING_ARGS_H
#define ACCEL_CUDA_CODING_ARGS_H

#include "accel/kv_codec.h"

/* [layers, tokens, channels] of bytes; strides in bytes. */
typedef struct coding_symbols {
  accel_codec_u64 data;
  long long layer_stride, token_stride, channel_stride;
} coding_symbols;

/* Device memory of one call, all zeros at first. */
typedef struct coding_state {
  accel_codec_u64 finding; /* ~key of the first finding (coding_findings.h), or 0 */
  accel_codec_u64 units;   /* of 4 bytes, in the streams that are in place */
  accel_codec_u64 next_units;
  accel_codec_u32 model_sum, directory_sum;
  accel_codec_u32 done; /* blocks that are through with a kernel */
  accel_codec_u32 padding[7];
} coding_state; /* 64 bytes */

/* What a call that waits reads when it is done; pinned host memory. */
typedef struct coding_result {
  accel_codec_u64 key; /* of the first finding; all ones: none */
  accel_codec_u64 bytes;
  accel_codec_u64 value; /* the symbol at fault */
} coding_result;

/* coding_model.cu */
typedef struct coding_model_args {
  coding_symbols symbols;
  accel_codec_u64 layers, tokens, channels;
  accel_codec_u64 model; /* [layers, channels, bins + 1] 16-bit numbers, contiguous */
  accel_codec_u64 fault; /* AccelFaultRecord */
  accel_codec_u64 state; /* coding_state */
  accel_codec_u32 bins, exact;
} coding_model_args;

/* coding_encode.cu: streams `first` to `first + count` of the split are encoded into memory of their
 * own, then put into the container. */
typedef struct coding_encode_args {
  coding_symbols symbols;
  accel_codec_split split;
  accel_codec_u64 model;
  accel_codec_u64 first, count;
  accel_codec_u64 words;    /* [count, stride] 16-bit words: each stream's lie at its end */
  accel_codec_u64 stride;
  accel_codec_u64 states;   /* [count, 32] 32-bit */
  accel_codec_u64 sizes;    /* [count, 2] 32-bit: units of 4 bytes that a stream takes, its words */
  accel_codec_u64 out;      /* the container */
  accel_codec_u64 state;    /* coding_state */
  accel_codec_u64 result;   /* coding_result */
  accel_codec_u32 bins;
  accel_codec_u32 twice;    /* tables are built while others are used: shared memory for two */
  accel_codec_u32 look;     /* whether model and symbols are sound */
  accel_codec_u32 dry;      /* look only */
  accel_codec_u32 last;     /* no streams will follow: finish the container */
  accel_codec_u32 padding;
} coding_encode_args;

/* How a decoder finds symbols. Slots are divided into buckets, which hold of each lane:
 * WIDE: two neighbouring symbols that cover most of it, ready to use; for few bins;
 * FIRST: the symbol of its first slot; for many;
 * NONE: there are no buckets: for rows that are soon over. */
enum {
  CODING_TABLE_NONE = 0,
  CODING_TABLE_FIRST = 1,
  CODING_TABLE_WIDE = 2,
  CODING_FIRST_BUCKETS = 512,
  CODING_WIDE_BUCKETS = 128
};

/* coding_verify.cu and coding_decode.cu. */
typedef struct coding_decode_args {
  coding_symbols out;
  accel_codec_u64 layers, tokens, channels; /* of out */
  accel_codec_u64 data, bytes;
  accel_codec_u64 model;
  accel_codec_u64 state; /* coding_state */
  accel_codec_u64 fault; /* AccelFaultRecord */
  accel_codec_u32 bins;
  accel_codec_u32 ahead;   /* shared memory for three rows' pairs */
  accel_codec_u32 table;   /* how symbols are found: CODING_TABLE_... */
  accel_codec_u32 padding;
} coding_decode_args;

#endif
