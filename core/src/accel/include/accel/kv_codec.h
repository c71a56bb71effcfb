/* The entropy-coded KV format: constants, how work is split, and the steps of the coder.
 *
 * docs/kv-codec.md is the specification. Plain C99, no headers, no library: runtime compilers
 * include it as it stands. Define ACCEL_CODEC_FN before including it to add qualifiers (for instance
 * `static __device__ __forceinline__`).
 *
 * A stream holds 32 lanes that share one sequence of 16-bit words. A lane is a rANS coder with a
 * 32-bit state. Symbols are coded in steps: in one step lane l holds one symbol of channel
 * `row * 32 + l`. A decoder goes through rows and tokens in ascending order; in each step, lanes
 * that run low take the next words in lane order. The encoder does all of it backwards.
 */
#ifndef ACCEL_KV_CODEC_H
#define ACCEL_KV_CODEC_H

#ifndef ACCEL_CODEC_FN
#define ACCEL_CODEC_FN static inline
#endif

typedef unsigned short accel_codec_u16;
typedef unsigned int accel_codec_u32;
typedef unsigned long long accel_codec_u64;

enum {
  ACCEL_CODEC_VERSION = 1,
  ACCEL_CODEC_LANES = 32,
  ACCEL_CODEC_SCALE_BITS = 14, /* the frequencies of a channel add up to 1 << this */
  ACCEL_CODEC_SCALE = 1 << ACCEL_CODEC_SCALE_BITS,
  ACCEL_CODEC_STATE_LOW = 1 << 16, /* states lie in [this, 1 << 32); a lane begins and ends here */
  ACCEL_CODEC_HEADER_BYTES = 64,
  ACCEL_CODEC_ENTRY_BYTES = 8,     /* of the directory, per stream */
  ACCEL_CODEC_CHUNK_TOKENS = 2048, /* a stream holds at most so many tokens */
  ACCEL_CODEC_SHORT_CHUNK = 1024,  /* up to here lanes are SHORT symbols long, above LONG */
  ACCEL_CODEC_LANE_SHORT = 1024,
  ACCEL_CODEC_LANE_LONG = 4096,
  ACCEL_CODEC_SEED_HEADER = 1, /* seeds of the checks */
  ACCEL_CODEC_SEED_DIRECTORY = 2,
  ACCEL_CODEC_SEED_MODEL = 3,
  ACCEL_CODEC_SEED_STREAM = 16 /* plus the stream's index */
};

/* --- how [layers, tokens, channels] is split over streams ----------------------------------- */

typedef struct accel_codec_split {
  accel_codec_u64 layers, tokens, channels;
  accel_codec_u64 rows;    /* of 32 channels, in a layer */
  accel_codec_u64 chunks;  /* of tokens, in a layer */
  accel_codec_u64 groups;  /* of rows, in a layer: a stream is one (layer, chunk, group) */
  accel_codec_u64 streams; /* layers * chunks * groups, in this order */
} accel_codec_split;

typedef struct accel_codec_stream {
  accel_codec_u64 layer;
  accel_codec_u64 token, tokens; /* first, and how many */
  accel_codec_u64 row, rows;
  accel_codec_u64 lanes; /* that code anything; the only ones whose states are stored */
} accel_codec_stream;

/* Where part i of `total` things in `parts` parts begins: larger parts first, by one at most. */
ACCEL_CODEC_FN accel_codec_u64 accel_codec_part(accel_codec_u64 total, accel_codec_u64 parts,
                                                accel_codec_u64 i) {
  const accel_codec_u64 more = total % parts;
  return total / parts * i + (i < more ? i : more);
}

/* The split that encoders choose. Decoders take chunks and groups from the header. */
ACCEL_CODEC_FN accel_codec_split accel_codec_choose_split(accel_codec_u64 layers,
                                                          accel_codec_u64 tokens,
                                                          accel_codec_u64 channels) {
  accel_codec_split s;
  s.layers = layers;
  s.tokens = tokens;
  s.channels = channels;
  s.rows = channels / ACCEL_CODEC_LANES + (channels % ACCEL_CODEC_LANES != 0);
  s.chunks = s.groups = s.streams = 0;
  if (layers == 0 || tokens == 0 || channels == 0) return s;
  s.chunks = (tokens - 1) / ACCEL_CODEC_CHUNK_TOKENS + 1;
  const accel_codec_u64 longest = (tokens - 1) / s.chunks + 1;
  const accel_codec_u64 lane =
      longest <= ACCEL_CODEC_SHORT_CHUNK ? ACCEL_CODEC_LANE_SHORT : ACCEL_CODEC_LANE_LONG;
  s.groups = s.rows * longest / lane;
  if (s.groups == 0) s.groups = 1;
  s.streams = layers * s.chunks * s.groups;
  return s;
}

ACCEL_CODEC_FN accel_codec_stream accel_codec_stream_at(const accel_codec_split *s,
                                                        accel_codec_u64 index) {
  accel_codec_stream p;
  const accel_codec_u64 group = index % s->groups;
  const accel_codec_u64 chunk = index / s->groups % s->chunks;
  p.layer = index / s->groups / s->chunks;
  p.token = accel_codec_part(s->tokens, s->chunks, chunk);
  p.tokens = accel_codec_part(s->tokens, s->chunks, chunk + 1) - p.token;
  p.row = accel_codec_part(s->rows, s->groups, group);
  p.rows = accel_codec_part(s->rows, s->groups, group + 1) - p.row;
  p.lanes = s->channels - p.row * ACCEL_CODEC_LANES;
  if (p.lanes > ACCEL_CODEC_LANES) p.lanes = ACCEL_CODEC_LANES;
  return p;
}

/* Lanes of a row that hold a channel. */
ACCEL_CODEC_FN accel_codec_u64 accel_codec_row_lanes(accel_codec_u64 channels,
                                                     accel_codec_u64 row) {
  const accel_codec_u64 left = channels - row * ACCEL_CODEC_LANES;
  if (left > ACCEL_CODEC_LANES) return ACCEL_CODEC_LANES;
  return left;
}

/* The most bytes that a stream takes. A symbol costs 14 bits at most. A push finds a quotient of at
 * least 4, so rounding adds less than log2(5/4) bits: a symbol takes below 14.33 / 16 words. */
ACCEL_CODEC_FN accel_codec_u64 accel_codec_stream_bound(const accel_codec_stream *p) {
  const accel_codec_u64 symbols = p->lanes * p->rows * p->tokens;
  const accel_codec_u64 words = symbols - symbols / 16 + p->lanes;
  return p->lanes * 4 + (words * 2 + 3) / 4 * 4;
}

/* --- one symbol ------------------------------------------------------------------------------ */

/* Whether a lane must give its low word away (state >> 16 is left) before accel_codec_push. */
ACCEL_CODEC_FN int accel_codec_is_full(accel_codec_u32 state, accel_codec_u32 frequency) {
  return (state >> (32 - ACCEL_CODEC_SCALE_BITS)) >= frequency;
}

ACCEL_CODEC_FN accel_codec_u32 accel_codec_push(accel_codec_u32 state, accel_codec_u32 start,
                                                accel_codec_u32 frequency) {
  return ((state / frequency) << ACCEL_CODEC_SCALE_BITS) + state % frequency + start;
}

/* The symbol of a state is the one with start <= slot < start + frequency. */
ACCEL_CODEC_FN accel_codec_u32 accel_codec_slot(accel_codec_u32 state) {
  return state & (ACCEL_CODEC_SCALE - 1);
}

ACCEL_CODEC_FN accel_codec_u32 accel_codec_pop(accel_codec_u32 state, accel_codec_u32 start,
                                               accel_codec_u32 frequency) {
  return frequency * (state >> ACCEL_CODEC_SCALE_BITS) + accel_codec_slot(state) - start;
}

/* Whether a lane must take a word (state << 16 | word) after accel_codec_pop. */
ACCEL_CODEC_FN int accel_codec_is_low(accel_codec_u32 state) {
  return state < ACCEL_CODEC_STATE_LOW;
}

/* --- models ---------------------------------------------------------------------------------- */

/* What bins hold beside their share of the symbols. `total` symbols were counted, `used` of the
 * channel's `bins` bins occurred. Unused bins hold 1 unless `exact`; used ones hold 1 when a share
 * could come to less than 1. */
typedef struct accel_codec_floors {
  accel_codec_u32 unused, used; /* 0 or 1 each */
  accel_codec_u32 shared;       /* the rest of the scale, divided in proportion */
} accel_codec_floors;

ACCEL_CODEC_FN accel_codec_floors accel_codec_choose_floors(accel_codec_u64 total,
                                                            accel_codec_u32 bins,
                                                            accel_codec_u32 used, int exact) {
  accel_codec_floors f;
  f.unused = exact ? 0 : 1;
  f.used = 0;
  f.shared = ACCEL_CODEC_SCALE - (exact ? 0 : bins - used);
  if (total > f.shared) {
    f.used = 1;
    f.shared -= used;
  }
  return f;
}

/* Where a bin starts: `below` symbols and `used` used bins lie below bin number `bin`. */
ACCEL_CODEC_FN accel_codec_u32 accel_codec_start(const accel_codec_floors *f,
                                                 accel_codec_u64 total, accel_codec_u64 below,
                                                 accel_codec_u32 used, accel_codec_u32 bin) {
  return (accel_codec_u32)(below * f->shared / total) + f->used * used + f->unused * (bin - used);
}

/* --- checks ---------------------------------------------------------------------------------- */

/* A check is the sum, modulo 1 << 32, of this over units i = 0, 1, ...: any order of summation will
 * do, no two units are alike, and a change of one unit always shows. */
ACCEL_CODEC_FN accel_codec_u32 accel_codec_mix(accel_codec_u32 unit, accel_codec_u32 i,
                                               accel_codec_u32 seed) {
  accel_codec_u32 v = unit + (i + 1u) * 0x9E3779B1u + seed * 0x7FEB352Du;
  v = (v ^ (v >> 15)) * 0x2C1B3C6Du;
  return v ^ (v >> 13);
}

#endif /* ACCEL_KV_CODEC_H */
