/* Decoding what coding_verify found sound: a block a stream. Group 0 decodes; the others build
 * tables. */
#include "coding_container.h"
#include "coding_tables.h"

/* --- where symbols are looked for --------------------------------------------------------------- */

/* Slots are divided into `buckets` of 1 << shift; first[bucket * 32 + lane] is the symbol of a
 * bucket's first slot. */
struct coding_table {
  accel_u32* pairs;
  accel_u8* first;
};

#ifdef WIDE
ACCEL_DEVICE void coding_build_buckets(const coding_table& table, accel_u32 bins, accel_u32 shift,
                                       accel_u32 begin, accel_u32 end) {
  const accel_u32* const mine = table.pairs + accel_lane();
  accel_u32x2* const wide = reinterpret_cast<accel_u32x2*>(table.first);
  accel_u32 low = 0, high = bins; /* the symbol is in [low, high) */
  while (high - low > 1) {
    const accel_u32 middle = (low + high) / 2;
    const bool upper = (mine[middle * CODING_PITCH] & 0xFFFF) <= begin << shift;
    low = upper ? middle : low;
    high = upper ? high : middle;
  }
  accel_u32 here = mine[low * CODING_PITCH];
  accel_u32 stop = (here & 0xFFFF) + (here >> 16);
  for (accel_u32 b = begin; b < end; ++b) {
    const accel_u32 from = b << shift, to = from + (1u << shift);
    while (stop <= from) {
      here = mine[++low * CODING_PITCH];
      stop = (here & 0xFFFF) + (here >> 16);
    }
    accel_u32 cover = accel_min(stop, to) - from, best = cover, chosen = low;
    while (stop < to) {
      here = mine[++low * CODING_PITCH];
      const accel_u32 begun = stop;
      stop = (here & 0xFFFF) + (here >> 16);
      const accel_u32 more = accel_min(stop, to) - begun;
      if (cover + more > best) {
        best = cover + more;
        chosen = low - 1;
      }
      cover = more;
    }
    const accel_u32 one = mine[chosen * CODING_PITCH], two = mine[(chosen + 1) * CODING_PITCH];
    wide[b * 32 + accel_lane()] = {one, two >> 16 | chosen << 16};
  }
}
#else

/* Fills in the buckets from `begin` to `end` of this lane, from its pairs. */
ACCEL_DEVICE void coding_build_buckets(const coding_table& table, accel_u32 bins, accel_u32 shift,
                                       accel_u32 begin, accel_u32 end) {
  const accel_u32* const mine = table.pairs + accel_lane();
  accel_u32 low = 0, high = bins; /* the symbol is in [low, high) */
  while (high - low > 1) {
    const accel_u32 middle = (low + high) / 2;
    const bool upper = (mine[middle * CODING_PITCH] & 0xFFFF) <= begin << shift;
    low = upper ? middle : low;
    high = upper ? high : middle;
  }
  accel_u32 next = low + 1 < bins ? mine[(low + 1) * CODING_PITCH] & 0xFFFF : 0xFFFFFFFFu;
  for (accel_u32 b = begin; b < end; ++b) {
    while (next <= b << shift) {
      ++low;
      next = low + 1 < bins ? mine[(low + 1) * CODING_PITCH] & 0xFFFF : 0xFFFFFFFFu;
    }
    table.first[b * 32 + accel_lane()] = (accel_u8)low;
  }
}

#endif
/* --- words ----------------------------------------------------------------------------------------
 * A ring in shared memory holds 1024 words in 4 segments; each lane brings 16 bytes of a segment. A
 * segment waits in registers before it goes into the ring. */

enum { CODING_RING_WORDS = 1024, CODING_SEGMENT_WORDS = 256, CODING_STEPS = 8 };

struct coding_words {
  accel_u16* ring;
  accel_u64 base;        /* address of word 0, aligned to 16 bytes unless words are at odd ones */
  accel_u64 begin, end;  /* what may be read */
  accel_u32 at;          /* the next word */
  accel_u32 filled;      /* words that are in the ring, or were */
  accel_u32x4 pending;   /* this lane's part of the next segment */
};

ACCEL_DEVICE void coding_fetch(coding_words& w) {
  const accel_u64 from = w.base + ((accel_u64)w.filled + accel_lane() * 8) * 2;
  if (from >= w.begin && from + 16 <= w.end && (from & 15) == 0) {
    w.pending = accel_load(accel_pointer<const accel_u32x4>(from));
    return;
  }
  accel_u32 v[4];
  for (accel_u32 i = 0; i < 4; ++i) {
    v[i] = 0;
    for (accel_u32 k = 0; k < 4; ++k) {
      const accel_u64 a = from + i * 4 + k;
      if (a >= w.begin && a < w.end) v[i] |= (accel_u32)*accel_pointer<const accel_u8>(a) << 8 * k;
    }
  }
  w.pending = {v[0], v[1], v[2], v[3]};
}

/* Makes sure of words for CODING_STEPS steps; past the end they are zeros. */
ACCEL_DEVICE void coding_refill(coding_words& w) {
  if ((accel_i32)(w.filled - w.at) >= 2 * CODING_SEGMENT_WORDS) return;
  accel_u32x4* const ring = reinterpret_cast<accel_u32x4*>(w.ring);
  accel_sync_group();
  ring[(w.filled % CODING_RING_WORDS) / 8 + accel_lane()] = w.pending;
  accel_sync_group();
  w.filled += CODING_SEGMENT_WORDS;
  coding_fetch(w);
}

/* The words of a stream from address `from` on. */
ACCEL_DEVICE void coding_begin_words(coding_words& w, accel_u64 from) {
  w.base = (from & ~15ull) | (from & 1);
  w.at = (accel_u32)((from - w.base) / 2);
  w.filled = 0;
  coding_fetch(w);
  coding_refill(w);
  coding_refill(w);
}

/* --- steps --------------------------------------------------------------------------------------- */

struct coding_decoder {
  accel_u32 x;
  coding_words words;
};

/* One symbol of each lane. */
ACCEL_DEVICE accel_u32 coding_decode_step(coding_decoder& d, const coding_table& table,
                                          accel_u32 bins, accel_u32 shift, accel_u32 below) {
  const accel_u32* const pairs = table.pairs + accel_lane();
  const accel_u32 slot = accel_codec_slot(d.x), q = d.x >> ACCEL_CODEC_SCALE_BITS;
#ifdef WIDE
  const accel_u32x2 e =
      reinterpret_cast<const accel_u32x2*>(table.first)[(slot >> shift) * 32 + accel_lane()];
  accel_u32 symbol = e.y >> 16;
  const accel_u32 here = e.x, next = e.y << 16;
#else
  accel_u32 symbol = table.first[(slot >> shift) * 32 + accel_lane()];
  const accel_u32 here = pairs[symbol * CODING_PITCH];
  const accel_u32 next = pairs[(symbol + 1) * CODING_PITCH];
#endif
  accel_u32 offset = slot - (here & 0xFFFF), frequency = here >> 16;
  if (offset >= frequency) {
    offset -= frequency;
    frequency = next >> 16;
    ++symbol;
  }
  accel_u32 x = frequency * q + offset;
  bool low = accel_codec_is_low(x) != 0;
  const bool far = offset >= frequency; /* seldom: neither of the first two symbols */
  accel_u32 lows = accel_ballot(low);
  if (accel_any(far)) {
    if (far) {
#ifdef WIDE
      while (symbol > 0 && (pairs[symbol * CODING_PITCH] & 0xFFFF) > slot) --symbol;
#endif
      while (symbol + 1 < bins && (pairs[(symbol + 1) * CODING_PITCH] & 0xFFFF) <= slot) ++symbol;
      const accel_u32 pair = pairs[symbol * CODING_PITCH];
      x = accel_codec_pop(d.x, pair & 0xFFFF, pair >> 16);
      low = accel_codec_is_low(x) != 0;
    }
    lows = accel_ballot(low);
  }
  const accel_u32 word = d.words.ring[(d.words.at + accel_popc(lows & below)) % CODING_RING_WORDS];
  d.x = low ? x << 16 | word : x;
  d.words.at += accel_popc(lows);
  return symbol;
}

ACCEL_DEVICE void coding_decode_row(coding_decoder& d, const coding_table& table, accel_u32 bins,
                                    accel_u32 shift, accel_u8* to, accel_i64 stride,
                                    accel_u64 tokens, bool active) {
  const accel_u32 below = accel_lanes_below();
  for (; tokens >= CODING_STEPS; tokens -= CODING_STEPS) {
    coding_refill(d.words);
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < CODING_STEPS; ++k) {
      const accel_u32 symbol = coding_decode_step(d, table, bins, shift, below);
      if (active) *to = (accel_u8)symbol;
      to += stride;
    }
  }
  coding_refill(d.words);
  ACCEL_NO_UNROLL
  for (; tokens != 0; --tokens) {
    const accel_u32 symbol = coding_decode_step(d, table, bins, shift, below);
    if (active) *to = (accel_u8)symbol;
    to += stride;
  }
}

/* What is wrong with a stream after its last symbol: a kind of finding, or 0. All lanes. */
ACCEL_DEVICE accel_u32 coding_check_end(const coding_decoder& d, accel_u64 words, accel_u64 from) {
  const accel_u32 taken = d.words.at - (accel_u32)((from - d.words.base) / 2);
  if (taken > words) return CODING_FOUND_FEW_WORDS;
  if (accel_any(d.x != ACCEL_CODEC_STATE_LOW)) return CODING_FOUND_END_STATE;
  const accel_u64 left = words - taken;
  if (left > 1) return CODING_FOUND_MANY_WORDS;
  if (left == 1 && coding_load_unit(from + words * 2 - 4) >> 16 != 0) {
    return CODING_FOUND_MANY_WORDS;
  }
  return 0;
}

ACCEL_KERNEL_BOUNDS(256, 1, coding_decode, coding_decode_args, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, shared); /* the ring, then one or two tables */
  ACCEL_SHARED accel_u32 word;
  coding_container c{};
  if (coding_state_of(args.state)->finding != 0) return;
  if (coding_read_header(args, c) != CODING_NO_FINDING || !coding_fits(args, c)) return;
  #ifdef WIDE
  const accel_u32 per = 64;
#else
  const accel_u32 per = 8;
#endif
  const accel_u32 size = (CODING_PAIRS_WORDS(args.bins) + 1) / 2 * 2 + args.buckets * per;
  const accel_u32 shift = ACCEL_CODEC_SCALE_BITS + 1 - accel_ffs(args.buckets);
  const auto table_at = [&](accel_u64 r) {
    accel_u32* const base = shared + CODING_RING_WORDS / 2 + (args.twice ? (r & 1) * size : 0);
    return coding_table{base + args.buckets * per, reinterpret_cast<accel_u8*>(base)};
  };
  coding_decoder d;
  d.words.ring = reinterpret_cast<accel_u16*>(shared);
  d.words.begin = args.data;
  d.words.end = args.data + args.bytes;
  for (accel_u64 i = accel_block_x(); i < c.split.streams; i += accel_grid_x()) {
    const accel_codec_stream place = accel_codec_stream_at(&c.split, i);
    const coding_entry entry = coding_entry_at(c, place, i);
    if (!entry.sound) continue; /* changed since it was verified */
    const accel_u64 states = c.payload + entry.begin * 4, from = states + place.lanes * 4;
    const accel_u64 words = (entry.end - entry.begin - place.lanes) * 2;
    const auto pairs_of = [&](accel_u64 r, accel_u32 thread, accel_u32 threads) {
      const coding_row row =
          coding_row_at(args.model, args.bins, args.channels, place.layer, place.row + r);
      accel_u32 none = 0;
      coding_build_pairs<false>(table_at(r).pairs, row, args.bins, thread, threads, args.state,
                                &none);
    };
    d.x = ACCEL_CODEC_STATE_LOW;
    if (accel_group() == 0) {
      if (accel_lane() < place.lanes) d.x = coding_load_unit(states + accel_lane() * 4);
      coding_begin_words(d.words, from);
    }
    bool sound = true;
    for (accel_u64 r = 0; r < place.rows; ++r) {
      if (!args.twice || r == 0) {
        pairs_of(r, accel_thread(), accel_threads());
        accel_sync_threads();
        const accel_u32 groups = accel_threads() / 32;
        coding_build_buckets(table_at(r), args.bins, shift, args.buckets * accel_group() / groups,
                             args.buckets * (accel_group() + 1) / groups);
      }
      accel_sync_threads();
      if (accel_group() == 0) {
        if (r == 0) sound = !accel_any(accel_codec_is_low(d.x));
        const accel_u64 channel = (place.row + r) * ACCEL_CODEC_LANES + accel_lane();
        accel_u8* const to = accel_pointer<accel_u8>(
            args.out.data + (accel_u64)((accel_i64)place.layer * args.out.layer_stride +
                                        (accel_i64)place.token * args.out.token_stride +
                                        (accel_i64)channel));
        if (sound) {
          coding_decode_row(d, table_at(r), args.bins, shift, to, args.out.token_stride,
                            place.tokens, channel < args.channels);
        }
      } else if (args.twice && accel_group() == 1 && r + 1 < place.rows) {
        pairs_of(r + 1, accel_lane(), 32);
        accel_sync_group();
        coding_build_buckets(table_at(r + 1), args.bins, shift, 0, args.buckets);
      }
      accel_sync_threads();
    }
    if (accel_group() == 0) {
      accel_u32 wrong = CODING_FOUND_LOW_STATE;
      if (sound) wrong = coding_check_end(d, words, from);
      if (wrong != 0 && accel_lane() == 0) coding_report(args.state, wrong, i);
    }
  }
  if (!coding_is_last_block(args.state, &word) || accel_thread() != 0) return;
  const accel_u64 key = coding_first_finding(args.state);
  if (key != CODING_NO_FINDING) coding_tell(args.fault, key, args.bins);
}
