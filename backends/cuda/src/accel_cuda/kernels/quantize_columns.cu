// Quantising with a scale for each channel, over all tokens: two looks at the values in one launch.
//
// Defines: those of chunks.h. The workspace and the order of the blocks are told in
// quantize_args.h.
#include "chunks.h"
#include "codes.h"
#include "column_keys.h"
#include "device.h"
#include "segments.h"

#ifndef ACCEL_COLUMN_BLOCKS
#if ACCEL_PTX(900) && !ACCEL_PTX(1000)
#define ACCEL_COLUMN_BLOCKS (ACCEL_SHIFTED ? 3 : 4)
#else
#define ACCEL_COLUMN_BLOCKS 3  // four would spill
#endif
#endif

namespace {

using namespace accel_codes;

constexpr unsigned kThreads = 256, kMostChannels = 32 * kChannels;
constexpr unsigned kLoads = 4;  // under way at once, by one thread

// A block's part of a slab, and what its thread does there.
struct Part {
  accel_place place;  // of the outer index's first token and channel
  accel_u32* words;   // ACCEL_SLAB_WORDS of the slab, then its keys
  accel_u32 first_chunk, chunk, row, rows_step, end;  // chunk: of the row, as first_chunk
  bool inside;                                        // whether there is such a chunk
};

ACCEL_DEVICE Part part_of(const accel_column_args& args, accel_u32 slab, accel_u32 part) {
  Part p;
  const accel_u32 outer = accel_divide(slab, args.slabs_by);
  const accel_u32 width = 1u << args.width_log;
  p.place = accel_place_of(args.base, args.dim, args.dims, outer);
  p.words = accel_pointer<accel_u32>(args.workspace) + ACCEL_COLUMN_WORDS +
            (accel_u64)slab * (ACCEL_SLAB_WORDS + kKeys * kChannels * width);
  p.first_chunk = (slab - outer * args.slabs_by.by) * width;
  p.chunk = p.first_chunk + (accel_thread() & (width - 1));
  p.inside = p.chunk < args.chunks;
  p.row = part * args.part + (accel_thread() >> args.width_log);
  p.rows_step = kThreads >> args.width_log;
  p.end = accel_min(args.tokens, (part + 1) * args.part);
  return p;
}

// Calls body(row, chunk) for the thread's rows, with several loads under way.
template <class Body>
ACCEL_DEVICE void for_rows(const accel_column_args& args, const Part& p, Body body) {
  if (!p.inside) return;
  const char* const values = p.place.at[ACCEL_VALUES];
  for (accel_u32 row = p.row; row < p.end; row += kLoads * p.rows_step) {
    Chunk held[kLoads] = {};
    ACCEL_UNROLL for (unsigned k = 0; k < kLoads; ++k) {
      const accel_u32 at = row + k * p.rows_step;
      if (at < p.end) {
        held[k] = load_chunk(values + at * args.token_step[0], args.channel_step[0], p.chunk);
      }
    }
    ACCEL_UNROLL for (unsigned k = 0; k < kLoads; ++k) {
      const accel_u32 at = row + k * p.rows_step;
      if (at < p.end) body(at, held[k]);
    }
  }
}

// Joins the ranges of a part to those of its slab.
ACCEL_DEVICE void find_ranges(const accel_column_args& args, const Part& p, accel_u32* keys) {
  const accel_u32 width = 1u << args.width_log, count = kKeys * kChannels * width;
  for (accel_u32 i = accel_thread(); i < count; i += kThreads) keys[i] = 0;
  accel_sync_threads();
  WordRange words[kWords];
  ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) words[w] = no_words();
  for_rows(args, p, [&](accel_u32, const Chunk& v) {
    ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) add_word(&words[w], v.word[w]);
  });
  Range ranges[kChannels];
  if (!find_channel_ranges(words, p.inside && p.row < p.end, ranges)) {
    accel_atomic_or(&p.words[2], 1u);
    for (unsigned i = 0; i < kChannels; ++i) ranges[i] = nothing();
    for_rows(args, p, [&](accel_u32, const Chunk& v) {
      float x[kChannels];
      to_floats(v, x);
      ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) ranges[i] = with_finite(ranges[i], x[i]);
    });
  }
  if (p.inside) {
    // Keys of the same channel of neighbouring chunks are neighbours.
    const accel_u32 at = p.chunk - p.first_chunk;
    ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) {
      join_keys(ranges[i], &keys[i * width + at], kChannels * width);
    }
  }
  accel_sync_threads();
  for (accel_u32 i = accel_thread(); i < count; i += kThreads) {
    if (keys[i] != 0) accel_atomic_max(&p.words[ACCEL_SLAB_WORDS + i], keys[i]);
  }
  accel_fence_device();
  accel_sync_threads();
  if (accel_thread() == 0) accel_atomic_add(&p.words[0], 1u);
}

// Waits for the ranges of all parts, and makes their scales.
ACCEL_DEVICE void find_scales(const accel_column_args& args, const Part& p, bool first,
                              Scale* scales) {
  if (accel_thread() == 0) {
    while (accel_load_acquire(&p.words[0]) < args.parts.by) accel_nanosleep(40);
  }
  accel_sync_threads();
  const accel_u32 width = 1u << args.width_log;
  const bool finite = p.words[2] == 0;
  for (accel_u32 n = accel_thread(); n < kChannels * width; n += kThreads) {
    const accel_u32* const key = &p.words[ACCEL_SLAB_WORDS + n];
    const Range range = range_of_keys(*key, kShifted ? key[kChannels * width] : 0u);
    const Scale scale = scale_of(range, args.spec.steps, finite);
    scales[n] = scale;
    const accel_u32 i = n >> args.width_log, chunk = p.first_chunk + (n & (width - 1));
    if (first && chunk < args.chunks) write_scale(args, p.place, chunk, i, scale);
  }
  accel_sync_threads();
}

ACCEL_DEVICE void write_codes(const accel_column_args& args, const Part& p, const Scale* shared) {
  if (!p.inside) return;
  const accel_u32 width = 1u << args.width_log;
  Scale scale[kChannels];
  bool fast = true;
  ACCEL_UNROLL for (unsigned i = 0; i < kChannels; ++i) {
    scale[i] = shared[i * width + p.chunk - p.first_chunk];
    fast = fast && is_fast(scale[i]);
  }
  char* const codes = p.place.at[ACCEL_CODES];
  for_rows(args, p, [&](accel_u32 row, const Chunk& v) {
    float x[kChannels];
    accel_u32 made[kCodeWords];
    to_floats(v, x);
    if (fast) {
      encode_fast<kChannels, 1>(x, scale, args.spec.zero, made);
    } else {
      encode_any<kChannels, 1>(x, scale, args.spec, made);
    }
    store_chunk(codes + row * args.token_step[1], args.channel_step[1], p.chunk, made);
  });
}

// Leaves the workspace as it was found, once nobody needs it any more.
ACCEL_DEVICE void clean(const accel_column_args& args, const Part& p, bool made_codes,
                        accel_u32* last) {
  accel_u32* const all = accel_pointer<accel_u32>(args.workspace);
  if (made_codes) {
    if (accel_thread() == 0) *last = accel_atomic_add(&p.words[1], 1u) == args.parts.by - 1;
    accel_sync_threads();
    const accel_u32 count = ACCEL_SLAB_WORDS + (kKeys * kChannels << args.width_log);
    if (*last != 0) {
      for (accel_u32 i = accel_thread(); i < count; i += kThreads) p.words[i] = 0;
    }
  }
  if (accel_thread() == 0 && accel_atomic_add(&all[1], 1u) == accel_grid_x() - 1) {
    all[0] = 0;
    all[1] = 0;
  }
}

}  // namespace

// Grid: twice the parts of all slabs.
ACCEL_KERNEL_BOUNDS(256, ACCEL_COLUMN_BLOCKS, quantize_columns, accel_column_args, args) {
  ACCEL_SHARED accel_u32 keys[kKeys * kMostChannels];
  ACCEL_SHARED Scale scales[kMostChannels];
  ACCEL_SHARED accel_u32 ticket;
  ACCEL_SHARED accel_u32 last;
  if (accel_thread() == 0) {
    ticket = accel_atomic_add(accel_pointer<accel_u32>(args.workspace), 1u);
  }
  accel_sync_threads();
  accel_u32 n = accel_divide(ticket, args.parts);
  const accel_u32 part = ticket - n * args.parts.by;
  const accel_u32 ahead = accel_min(args.ahead, args.slabs), between = 2 * (args.slabs - ahead);
  bool codes = false;
  if (n >= ahead + between) {
    n -= args.slabs;
    codes = true;
  } else if (n >= ahead) {
    codes = (n - ahead) % 2 != 0;
    n = codes ? (n - ahead) / 2 : ahead + (n - ahead) / 2;
  }
  const Part p = part_of(args, n, part);
  if (codes) {
    find_scales(args, p, part == 0, scales);
    write_codes(args, p, scales);
  } else {
    find_ranges(args, p, keys);
  }
  clean(args, p, codes, &last);
}
