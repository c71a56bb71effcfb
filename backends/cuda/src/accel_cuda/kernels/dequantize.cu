// Codes back to values.
//
// Defines: those of chunks.h. Rows, for scales of tokens and of groups: each thread takes chunks of
// segments, whose channels share a scale. Columns, for scales of channels: each thread keeps the
// scales of its channels and walks down the tokens.
#include "chunks.h"
#include "codes.h"
#include "device.h"
#include "segments.h"

#ifndef ACCEL_DEQUANTIZE_TAKEN
#define ACCEL_DEQUANTIZE_TAKEN 2  // chunks of rows under way at once, of one thread
#endif

namespace {

using namespace accel_codes;

constexpr unsigned kThreads = 256;
constexpr unsigned kTaken = ACCEL_DEQUANTIZE_TAKEN;
constexpr unsigned kPasses = 4;  // of columns

struct Codes {
  accel_u32 word[kCodeWords];
};

}  // namespace

// Grid: kThreads * kTaken chunks of all segments a block.
ACCEL_KERNEL_BOUNDS(256, 4, dequantize_rows, accel_segment_args, args) {
  Codes codes[kTaken] = {};
  float scale[kTaken] = {}, offset[kTaken] = {};
  char* to[kTaken];
  accel_u32 chunk[kTaken] = {};
  const accel_u32 first = accel_block_x() * (kThreads * kTaken) + accel_thread();
  ACCEL_UNROLL for (unsigned k = 0; k < kTaken; ++k) {
    const accel_u32 n = first + k * kThreads;
    const accel_u32 segment = accel_divide(n, args.chunks_by);
    to[k] = nullptr;
    if (segment >= args.segments) continue;
    chunk[k] = n - segment * args.chunks_by.by;
    const accel_place place = accel_place_of(args.base, args.dim, args.dims, segment);
    to[k] = place.at[ACCEL_VALUES];
    load_codes<kChannels>(place.at[ACCEL_CODES] + chunk_of_codes(args.code_step, chunk[k]),
                          codes[k].word);
    scale[k] = *(const float*)place.at[ACCEL_SCALES];
    offset[k] = kShifted ? *(const float*)place.at[ACCEL_OFFSETS] : 0.0f;
  }
  ACCEL_UNROLL for (unsigned k = 0; k < kTaken; ++k) {
    if (to[k] == nullptr) continue;
    float x[kChannels];
    decode<kChannels, 0>(codes[k].word, &scale[k], &offset[k], args.spec.zero, x);
    store_values(to[k], args.value_step, chunk[k], x);
  }
}

// Grid: parts of all slabs.
ACCEL_KERNEL_BOUNDS(256, 4, dequantize_columns, accel_column_args, args) {
  const accel_u32 slab = accel_divide(accel_block_x(), args.parts);
  const accel_u32 part = accel_block_x() - slab * args.parts.by;
  const accel_u32 outer = accel_divide(slab, args.slabs_by);
  const accel_u32 width = 1u << args.width_log;
  const accel_u32 chunk =
      (slab - outer * args.slabs_by.by) * width + (accel_thread() & (width - 1));
  if (chunk >= args.chunks) return;
  const accel_place place = accel_place_of(args.base, args.dim, args.dims, outer);
  const char* const from = place.at[ACCEL_CODES] + chunk_of_codes(args.channel_step[1], chunk);
  float scale[kChannels], offset[kChannels];
  ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) {
    const accel_i64 channel = (accel_i64)chunk * kChannels + i;
    scale[i] = *(const float*)(place.at[ACCEL_SCALES] + channel * args.channel_step[2]);
    offset[i] = kShifted
                    ? *(const float*)(place.at[ACCEL_OFFSETS] + channel * args.channel_step[3])
                    : 0.0f;
  }
  const accel_u32 step = kThreads >> args.width_log;
  const accel_u32 end = accel_min(args.tokens, (part + 1) * args.part);
  for (accel_u32 row = part * args.part + (accel_thread() >> args.width_log); row < end;
       row += kPasses * step) {
    Codes codes[kPasses] = {};
    ACCEL_UNROLL for (unsigned k = 0; k < kPasses; ++k) {
      const accel_u32 at = row + k * step;
      if (at < end) load_codes<kChannels>(from + at * args.token_step[1], codes[k].word);
    }
    ACCEL_UNROLL for (unsigned k = 0; k < kPasses; ++k) {
      const accel_u32 at = row + k * step;
      if (at >= end) continue;
      float x[kChannels];
      decode<kChannels, 1>(codes[k].word, scale, offset, args.spec.zero, x);
      store_values(place.at[ACCEL_VALUES] + at * args.token_step[0], args.channel_step[0], chunk, x);
    }
  }
}

// Packed codes in groups of an odd size share bytes: a segment is a row, a chunk one of its bytes.
// args.length: channels of a group.
ACCEL_KERNEL_BOUNDS(256, 4, dequantize_rows_odd, accel_segment_args, args) {
  if constexpr (kPacked && kElements) {
    for (accel_u32 k = 0; k < kTaken; ++k) {
      const accel_u32 n = (accel_block_x() * kTaken + k) * kThreads + accel_thread();
      const accel_u32 segment = accel_divide(n, args.chunks_by);
      if (segment >= args.segments) return;
      const accel_u32 byte = n - segment * args.chunks_by.by;
      const accel_place place = accel_place_of(args.base, args.dim, args.dims, segment);
      const accel_u32 codes = (accel_u8)place.at[ACCEL_CODES][byte];
      float scale[2], offset[2], x[2];
      for (accel_u32 i = 0; i < 2; ++i) {
        const accel_i64 group = (2 * byte + i) / args.length;
        scale[i] = *(const float*)(place.at[ACCEL_SCALES] + group * args.scale_step);
        offset[i] =
            kShifted ? *(const float*)(place.at[ACCEL_OFFSETS] + group * args.offset_step) : 0.0f;
      }
      decode<2, 1>(&codes, scale, offset, args.spec.zero, x);
      store_values(place.at[ACCEL_VALUES], args.value_step, byte, x);
    }
  }
}
