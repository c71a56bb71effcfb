// Quantising with a scale for each channel, over few enough tokens for shared memory: every value is
// read once.
//
// Defines: those of chunks.h, ACCEL_VECTOR not 0. A cluster takes a strip of neighbouring channels,
// each of its blocks a part of the tokens, which stays in shared memory until the ranges of all
// parts are known.
#include "chunks.h"
#include "cluster.h"
#include "codes.h"
#include "column_keys.h"
#include "device.h"
#include "segments.h"

namespace {

using namespace accel_codes;

constexpr unsigned kThreads = 512;
constexpr unsigned kLoads = 4;  // under way at once, by one thread

#if ACCEL_VECTOR
struct Strip {
  accel_place place;  // of the outer index's first token and channel
  accel_u32 first_chunk, chunk, column, row, rows_step, first, end;
  bool inside;
};

ACCEL_DEVICE Strip strip_of(const accel_column_args& args) {
  Strip s;
  const accel_u32 slab = accel_block_x() / ACCEL_CLUSTER_BLOCKS;
  const accel_u32 rank = accel_block_x() % ACCEL_CLUSTER_BLOCKS;
  const accel_u32 outer = accel_divide(slab, args.slabs_by);
  const accel_u32 width = 1u << args.width_log;
  s.place = accel_place_of(args.base, args.dim, args.dims, outer);
  s.first_chunk = (slab - outer * args.slabs_by.by) * width;
  s.column = accel_thread() & (width - 1);
  s.chunk = s.first_chunk + s.column;
  s.inside = s.chunk < args.chunks;
  s.row = accel_thread() >> args.width_log;
  s.rows_step = kThreads >> args.width_log;
  s.first = rank * args.part;
  s.end = s.first < args.tokens ? accel_min(args.part, args.tokens - s.first) : 0;
  return s;
}

ACCEL_DEVICE void load_tile(const accel_column_args& args, const Strip& s, Chunk* tile,
                            WordRange* words) {
  if (!s.inside) return;
  const char* const values = s.place.at[ACCEL_VALUES];
  for (accel_u32 row = s.row; row < s.end; row += kLoads * s.rows_step) {
    Chunk held[kLoads] = {};
    ACCEL_UNROLL for (unsigned k = 0; k < kLoads; ++k) {
      const accel_u32 at = row + k * s.rows_step;
      if (at < s.end) {
        held[k] = load_chunk(values + (accel_i64)(s.first + at) * args.token_step[0],
                             args.channel_step[0], s.chunk);
      }
    }
    ACCEL_UNROLL for (unsigned k = 0; k < kLoads; ++k) {
      const accel_u32 at = row + k * s.rows_step;
      if (at >= s.end) continue;
      accel_store_words<kWords>(&tile[(at << args.width_log) + s.column], held[k]);
      ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) add_word(&words[w], held[k].word[w]);
    }
  }
}

ACCEL_DEVICE void write_codes(const accel_column_args& args, const Strip& s, const Chunk* tile,
                              const Scale* scales) {
  if (!s.inside) return;
  const accel_u32 width = 1u << args.width_log;
  Scale scale[kChannels];
  bool fast = true;
  ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) {
    scale[i] = scales[i * width + s.column];
    fast = fast && scale[i].fast;
  }
  char* const codes = s.place.at[ACCEL_CODES];
  for (accel_u32 at = s.row; at < s.end; at += s.rows_step) {
    const Chunk v = accel_load_words<kWords>(&tile[(at << args.width_log) + s.column]);
    float x[kChannels];
    accel_u32 made[kCodeWords];
    to_floats(v, x);
    if (fast) {
      encode_fast<kChannels, 1>(x, scale, args.spec.zero, made);
    } else {
      encode_any<kChannels, 1>(x, scale, args.spec, made);
    }
    store_chunk(codes + (accel_i64)(s.first + at) * args.token_step[1], args.channel_step[1],
                s.chunk, made);
  }
}
#endif

}  // namespace

// Grid: a cluster for each slab. args.part: tokens of a block; args.ahead: not used. Shared: the
// tile, the scales, the keys and one word that says whether any value was not finite.
ACCEL_CLUSTER_KERNEL(512, 1, quantize_strips, accel_column_args, args) {
#if ACCEL_VECTOR
  ACCEL_DYNAMIC_SHARED(Chunk, tile);
  const accel_u32 width = 1u << args.width_log, channels = kChannels * width;
  Scale* const scales = reinterpret_cast<Scale*>(tile + (args.part << args.width_log));
  accel_u32* const keys = reinterpret_cast<accel_u32*>(scales + channels);
  accel_u32* const odd = keys + kKeys * channels;
  const Strip s = strip_of(args);
  for (accel_u32 i = accel_thread(); i <= kKeys * channels; i += kThreads) keys[i] = 0;
  accel_sync_threads();

  WordRange words[kWords];
  ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) words[w] = no_words();
  load_tile(args, s, tile, words);
  Range ranges[kChannels];
  const bool some = s.inside && s.row < s.end;
  if (!find_channel_ranges(words, some, ranges)) {
    accel_atomic_or(odd, 1u);
    ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) ranges[i] = nothing();
    for (accel_u32 at = s.row; at < s.end; at += s.rows_step) {
      float x[kChannels];
      to_floats(accel_load_words<kWords>(&tile[(at << args.width_log) + s.column]), x);
      ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) {
        ranges[i] = with_finite(ranges[i], x[i]);
      }
    }
  }
  if (some) {
    ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) {
      join_keys(ranges[i], &keys[i * width + s.column], channels);
    }
  }
  accel_sync_threads();
  accel_cluster_arrive();
  accel_cluster_wait();

  accel_u32 any_odd = 0;
  for (accel_u32 r = 0; r < ACCEL_CLUSTER_BLOCKS; ++r) any_odd |= accel_cluster_load(odd, r);
  const bool writes = accel_block_x() % ACCEL_CLUSTER_BLOCKS == 0;
  for (accel_u32 n = accel_thread(); n < channels; n += kThreads) {
    accel_u32 high = 0, low = 0;
    for (accel_u32 r = 0; r < ACCEL_CLUSTER_BLOCKS; ++r) {
      high = accel_max(high, accel_cluster_load(&keys[n], r));
      if constexpr (kShifted) low = accel_max(low, accel_cluster_load(&keys[channels + n], r));
    }
    const Scale scale = scale_of(range_of_keys(high, low), args.spec.steps, any_odd == 0);
    scales[n] = scale;
    const accel_u32 i = n >> args.width_log, chunk = s.first_chunk + (n & (width - 1));
    if (writes && chunk < args.chunks) write_scale(args, s.place, chunk, i, scale);
  }
  accel_cluster_arrive();  // this block has read what it needs of the others
  accel_sync_threads();
  write_codes(args, s, tile, scales);
  accel_cluster_wait();
#endif
}
