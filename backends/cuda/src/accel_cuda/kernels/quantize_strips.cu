// Quantising with a scale for each channel, over few enough tokens for shared memory: every value is
// read once.
//
// Defines: those of chunks.h, ACCEL_VECTOR not 0. A cluster takes strips of neighbouring channels,
// one after another; each of its blocks has a part of the tokens, which stays in shared memory until
// the ranges of all parts are known. A thread looks after the same places of the tile all along: once
// it has coded a value, it sends for the next strip's.
#include "chunks.h"
#include "cluster.h"
#include "codes.h"
#include "column_keys.h"
#include "device.h"
#include "segments.h"

#include "async_copy.h"

namespace {

using namespace accel_codes;

constexpr unsigned kThreads = 256, kWarps = kThreads / 32;
constexpr unsigned kBatch = 4;  // rows that a thread takes at once

#if ACCEL_VECTOR
// Calls body(first, batch) for all rows, in batches of kBatch and then one by one.
template <unsigned Rows>
struct Batch {
  static constexpr unsigned rows = Rows;
};
template <class Body>
ACCEL_DEVICE void in_batches(accel_u32 rows, Body body) {
  accel_u32 k = 0;
  for (; k + kBatch <= rows; k += kBatch) body(k, Batch<kBatch>());
  ACCEL_NO_UNROLL for (; k < rows; ++k) body(k, Batch<1>());
}

// What a thread takes of every strip.
struct Own {
  accel_u32 column, row, rows, rows_step;  // of all tokens the first row, how many, how far apart
};

ACCEL_DEVICE Own own_of(const accel_column_args& args, accel_u32 rank) {
  Own own;
  own.column = accel_thread() & ((1u << args.width_log) - 1u);
  own.rows_step = kThreads >> args.width_log;
  const accel_u32 first = rank * args.part, within = accel_thread() >> args.width_log;
  const accel_u32 end = first < args.tokens ? accel_min(args.part, args.tokens - first) : 0;
  own.row = first + within;
  own.rows = within < end ? (end - within - 1) / own.rows_step + 1 : 0;
  return own;
}

struct Strip {
  accel_place place;  // of the outer index's first token and channel
  accel_u32 first_chunk;
};

ACCEL_DEVICE Strip strip_of(const accel_column_args& args, accel_u32 slab) {
  Strip s;
  const accel_u32 outer = accel_divide(slab, args.slabs_by);
  s.place = accel_place_of(args.base, args.dim, args.dims, outer);
  s.first_chunk = (slab - outer * args.slabs_by.by) << args.width_log;
  return s;
}

// Where the thread's values of a strip are; null when it has none.
ACCEL_DEVICE const char* values_of(const accel_column_args& args, const Own& own, accel_u32 slab) {
  if (slab >= args.slabs) return nullptr;
  const Strip s = strip_of(args, slab);
  const accel_u32 chunk = s.first_chunk + own.column;
  if (chunk >= args.chunks) return nullptr;
  return s.place.at[ACCEL_VALUES] + (accel_i64)own.row * args.token_step[0] +
         (accel_i64)chunk * ACCEL_VECTOR;
}

ACCEL_DEVICE void start_load(const accel_column_args& args, const Own& own, const char* from,
                             Chunk* mine) {
  const accel_i64 step = args.token_step[0] * own.rows_step;
  if (from == nullptr) return;
  for (accel_u32 k = 0; k < own.rows; ++k) {
    accel_async_copy<ACCEL_VECTOR>(mine + k * kThreads, from);
    from += step;
  }
}

// The ranges of the block's part: those of word w of column c are at [w * width + c] of each field.
ACCEL_DEVICE void find_ranges(const accel_column_args& args, const Own& own, bool inside,
                              const Chunk* mine, accel_u32* of_warps, accel_u32* of_block) {
  const accel_u32 width = 1u << args.width_log, count = kWords * width;
  WordRange words[kWords];
  ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) words[w] = no_words();
  in_batches(inside ? own.rows : 0, [&](accel_u32 k, auto batch) {
    constexpr unsigned kRows = decltype(batch)::rows;
    Chunk held[kRows];
    ACCEL_UNROLL for (unsigned j = 0; j < kRows; ++j) {
      held[j] = accel_load_words<kWords>(mine + (k + j) * kThreads);
    }
    ACCEL_UNROLL for (unsigned j = 0; j < kRows; ++j) {
      ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) add_word(&words[w], held[j].word[w]);
    }
  });
  accel_sync_group();
  for (accel_u32 apart = width; apart < 32; apart *= 2) {
    ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) {
      words[w] = traded(words[w], words[w], false, apart);
    }
  }
  if (accel_lane() < width) {
    ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) {
      const RangeFields f = fields_of(words[w]);
      ACCEL_UNROLL for (unsigned i = 0; i < kFields; ++i) {
        of_warps[(accel_group() * kFields + i) * count + w * width + own.column] = f.at[i];
      }
    }
  }
  accel_sync_threads();
  for (accel_u32 n = accel_thread(); n < count; n += kThreads) {
    WordRange all = no_words();
    ACCEL_UNROLL for (unsigned g = 0; g < kWarps; ++g) {
      RangeFields f;
      ACCEL_UNROLL for (unsigned i = 0; i < kFields; ++i) {
        f.at[i] = of_warps[(g * kFields + i) * count + n];
      }
      all = joined(all, of_fields(f));
    }
    const RangeFields f = fields_of(all);
    ACCEL_UNROLL for (unsigned i = 0; i < kFields; ++i) of_block[i * count + n] = f.at[i];
  }
}

// Of all parts; `odd` where a value was not finite.
ACCEL_DEVICE void find_scales(const accel_column_args& args, accel_u32 slab, bool writes,
                              const accel_u32* of_block, accel_u32* odd, Scale* scales) {
  const accel_u32 width = 1u << args.width_log, count = kWords * width;
  for (accel_u32 n = accel_thread(); n < kChannels * width; n += kThreads) {
    const accel_u32 i = n >> args.width_log, column = n & (width - 1);
    const accel_u32* const word = of_block + i / kOfWord * width + column;
    WordRange all = no_words();
    for (accel_u32 r = 0; r < args.parts.by; ++r) {
      RangeFields f;
      ACCEL_UNROLL for (unsigned k = 0; k < kFields; ++k) {
        f.at[k] = accel_cluster_load(word + k * count, r);
      }
      all = joined(all, of_fields(f));
    }
    Range ranges[kPerWord];
    ranges_of(all, true, ranges);
    const Range range = i % kOfWord == 0 ? ranges[0] : ranges[kOfWord - 1];
    const bool finite = all_finite(range);
    if (!finite) accel_atomic_or(odd, 1u);
    const Scale scale = scale_of(range, args.spec.steps, finite);
    scales[n] = scale;
    if (writes) {
      const Strip s = strip_of(args, slab);
      if (s.first_chunk + column < args.chunks) {
        write_scale(args, s.place, s.first_chunk + column, i, scale);
      }
    }
  }
}

// The same of the finite values alone, by keys, which may lie where find_ranges had its own.
ACCEL_DEVICE void find_finite_scales(const accel_column_args& args, const Own& own, accel_u32 slab,
                                     bool inside, bool writes, const Chunk* mine, accel_u32* keys,
                                     Scale* scales) {
  const accel_u32 width = 1u << args.width_log, channels = kChannels * width;
  for (accel_u32 i = accel_thread(); i < kKeys * channels; i += kThreads) keys[i] = 0;
  accel_sync_threads();
  Range ranges[kChannels];
  ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) ranges[i] = nothing();
  for (accel_u32 k = 0; inside && k < own.rows; ++k) {
    float x[kChannels];
    to_floats(accel_load_words<kWords>(mine + k * kThreads), x);
    ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) ranges[i] = with_finite(ranges[i], x[i]);
  }
  ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) {
    join_keys(ranges[i], &keys[i * width + own.column], channels);
  }
  accel_sync_threads();
  accel_cluster_arrive();
  accel_cluster_wait();
  for (accel_u32 n = accel_thread(); n < channels; n += kThreads) {
    accel_u32 high = 0, low = 0;
    for (accel_u32 r = 0; r < args.parts.by; ++r) {
      high = accel_max(high, accel_cluster_load(&keys[n], r));
      if constexpr (kShifted) low = accel_max(low, accel_cluster_load(&keys[channels + n], r));
    }
    const Scale scale = scale_of(range_of_keys(high, low), args.spec.steps, false);
    scales[n] = scale;
    if (writes) {
      const Strip s = strip_of(args, slab);
      const accel_u32 i = n >> args.width_log, chunk = s.first_chunk + (n & (width - 1));
      if (chunk < args.chunks) write_scale(args, s.place, chunk, i, scale);
    }
  }
  accel_sync_threads();
  accel_cluster_arrive();  // others may still read the keys
  accel_cluster_wait();
}

// Writes the codes of a strip, and sends for what comes to its places: `from`, unless null.
ACCEL_DEVICE void write_codes(const accel_column_args& args, const Own& own, accel_u32 slab,
                              const Scale* scales, const char* from, Chunk* mine) {
  const Strip s = strip_of(args, slab);
  const accel_u32 width = 1u << args.width_log, chunk = s.first_chunk + own.column;
  Scale scale[kChannels];
  bool fast = true;
  ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) {
    scale[i] = scales[i * width + own.column];
    fast = fast && is_fast(scale[i]);
  }
  char* codes = s.place.at[ACCEL_CODES] + (accel_i64)own.row * args.token_step[1] +
                chunk_of_codes(args.channel_step[1], chunk);
  const accel_i64 step = args.token_step[1] * own.rows_step;
  const accel_i64 values_step = args.token_step[0] * own.rows_step;
  accel_u32 made[kCodeWords];
  float x[kChannels];
  if (!fast) {
    for (accel_u32 k = 0; k < own.rows; ++k) {
      to_floats(accel_load_words<kWords>(mine + k * kThreads), x);
      encode_any<kChannels, 1>(x, scale, args.spec, made);
      store_codes<kChannels>(codes, made);
      codes += step;
    }
    start_load(args, own, from, mine);
    return;
  }
  const bool more = from != nullptr;
  in_batches(own.rows, [&](accel_u32 k, auto batch) {
    constexpr unsigned kRows = decltype(batch)::rows;
    Chunk held[kRows];
    ACCEL_UNROLL for (unsigned j = 0; j < kRows; ++j) {
      held[j] = accel_load_words<kWords>(mine + (k + j) * kThreads);
    }
    ACCEL_UNROLL for (unsigned j = 0; j < kRows; ++j) {
      to_floats(held[j], x);
      encode_fast<kChannels, 1>(x, scale, args.spec.zero, made);
      store_codes<kChannels>(codes, made);
      codes += step;
    }
    if (more) {
      ACCEL_UNROLL for (unsigned j = 0; j < kRows; ++j) {
        accel_async_copy<ACCEL_VECTOR>(mine + (k + j) * kThreads, from);
        from += values_step;
      }
    }
  });
}
#endif

}  // namespace

// Grid: clusters, at most as many as there are slabs; a cluster has args.parts.by blocks. args.part:
// tokens of a block. Shared: the tile, whose places are whole rows of threads, the scales, ranges of
// each warp and twice those of the block, and one word.
ACCEL_KERNEL_BOUNDS(256, 3, quantize_strips, accel_column_args, args) {
#if ACCEL_VECTOR
  ACCEL_DYNAMIC_SHARED(Chunk, tile);
  const accel_u32 rows_step = kThreads >> args.width_log, count = kWords << args.width_log;
  const accel_u32 cluster = accel_divide(accel_block_x(), args.parts);
  const accel_u32 rank = accel_block_x() - cluster * args.parts.by;
  const accel_u32 clusters = accel_divide(accel_grid_x(), args.parts);
  Scale* const scales =
      reinterpret_cast<Scale*>(tile + (args.part + rows_step - 1) / rows_step * kThreads);
  accel_u32* const of_warps = reinterpret_cast<accel_u32*>(scales + (kChannels << args.width_log));
  accel_u32* of_block = of_warps + kWarps * kFields * count;
  accel_u32* other = of_block + kFields * count;
  accel_u32* const odd = other + kFields * count;

  const Own own = own_of(args, rank);
  Chunk* const mine = tile + accel_thread();
  const char* from = values_of(args, own, cluster);
  start_load(args, own, from, mine);
  for (accel_u32 slab = cluster; slab < args.slabs; slab += clusters) {
    accel_async_commit();
    const bool inside = from != nullptr;
    from = values_of(args, own, slab + clusters);
    accel_async_wait<0>();
    find_ranges(args, own, inside, mine, of_warps, of_block);
    if (accel_thread() == 0) *odd = 0;
    accel_sync_group();
    accel_cluster_arrive();
    accel_cluster_wait();
    find_scales(args, slab, rank == 0, of_block, odd, scales);
    accel_sync_threads();
    if (*odd != 0) {  // in all blocks alike
      find_finite_scales(args, own, slab, inside, rank == 0, mine, of_warps, scales);
    }
    if (inside) {
      write_codes(args, own, slab, scales, from, mine);
    } else {
      start_load(args, own, from, mine);
    }
    // What others may still read stays for one more strip.
    accel_u32* const read = of_block;
    of_block = other;
    other = read;
  }
  accel_cluster_arrive();
  accel_cluster_wait();
#endif
}
