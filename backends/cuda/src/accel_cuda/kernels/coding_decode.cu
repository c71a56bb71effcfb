/* Decoding what coding_verify found sound: a block a stream. */
#include "coding_container.h"
#include "coding_tables.h"

/* --- where symbols are looked for -----------------------------------------------------------------
 * A wide bucket holds start | frequency << 16 of one symbol, then frequency | symbol << 16, where the
 * frequency is that of the next symbol. Lanes lie side by side. */

enum : accel_u32 {
  CODING_FIRST_SHIFT = 5, /* slots of a bucket: 1 << this */
  CODING_WIDE_SHIFT = 7
};
static_assert(CODING_FIRST_BUCKETS << CODING_FIRST_SHIFT == ACCEL_CODEC_SCALE, "all slots");
static_assert(CODING_WIDE_BUCKETS << CODING_WIDE_SHIFT == ACCEL_CODEC_SCALE, "all slots");

struct coding_table {
  const accel_u32* pairs;
  accel_u32x2* wide;
  accel_u8* first;
  accel_u32 bins;
};

/* Of this lane: the last symbol that starts at or below each of some slots. */
template <unsigned Count>
ACCEL_DEVICE void coding_search(const accel_u32* mine, accel_u32 bins,
                                const accel_u32 (&slots)[Count], accel_u32 (&symbols)[Count]) {
  ACCEL_UNROLL
  for (accel_u32 i = 0; i < Count; ++i) symbols[i] = 0;
  accel_u32 step = 1;
  while (step * 2 < bins) step *= 2;
  ACCEL_NO_UNROLL
  for (; step != 0; step /= 2) {
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < Count; ++i) {
      const accel_u32 next = accel_min(symbols[i] + step, bins); /* where nothing starts below */
      const bool beyond = (mine[next * CODING_PITCH] & 0xFFFF) <= slots[i];
      symbols[i] = beyond && next < bins ? next : symbols[i];
    }
  }
}

/* Fills in the buckets from `begin` to `end` of this lane, some at a time, from its pairs. */
ACCEL_DEVICE void coding_build_first(const coding_table& table, accel_u32 begin, accel_u32 end) {
  enum { kTogether = 8 };
  const accel_u32* const mine = table.pairs + accel_lane();
  for (accel_u32 b = begin; b < end; b += kTogether) {
    accel_u32 slots[kTogether], symbols[kTogether];
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < kTogether; ++i) slots[i] = (b + i) << CODING_FIRST_SHIFT;
    coding_search(mine, table.bins, slots, symbols);
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < kTogether; ++i) {
      table.first[(b + i) * 32 + accel_lane()] = (accel_u8)symbols[i];
    }
  }
}

/* The symbol in the middle of a bucket, with that neighbour which has more of the bucket. */
ACCEL_DEVICE void coding_build_wide(const coding_table& table, accel_u32 begin, accel_u32 end) {
  enum { kTogether = 4 };
  const accel_u32* const mine = table.pairs + accel_lane();
  for (accel_u32 b = begin; b < end; b += kTogether) {
    accel_u32 slots[kTogether], symbols[kTogether];
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < kTogether; ++i) {
      slots[i] = ((b + i) << CODING_WIDE_SHIFT) + (1u << CODING_WIDE_SHIFT) / 2;
    }
    coding_search(mine, table.bins, slots, symbols);
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < kTogether; ++i) {
      const accel_u32 from = (b + i) << CODING_WIDE_SHIFT, to = from + (1u << CODING_WIDE_SHIFT);
      const accel_u32 symbol = symbols[i], lower = symbol == 0 ? 0 : symbol - 1;
      const accel_u32 before = mine[lower * CODING_PITCH], here = mine[symbol * CODING_PITCH];
      const accel_u32 after = mine[(symbol + 1) * CODING_PITCH];
      const accel_u32 start = here & 0xFFFF, stop = start + (here >> 16);
      const accel_u32 below = start > from ? accel_min(start - from, before >> 16) : 0;
      const accel_u32 above = stop < to ? accel_min(to - stop, after >> 16) : 0;
      const bool down = below > above && symbol != 0;
      const accel_u32 one = down ? before : here, two = down ? here : after;
      table.wide[(b + i) * 32 + accel_lane()] = {one, two >> 16 | (down ? lower : symbol) << 16};
    }
  }
}

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

/* All lanes go the same way here too. */
ACCEL_DEVICE void coding_fetch(coding_words& w) {
  const accel_u64 from = w.base + ((accel_u64)w.filled + accel_lane() * 8) * 2;
  const bool whole = from >= w.begin && from + 16 <= w.end && (from & 15) == 0;
  if (accel_all(whole)) {
    w.pending = accel_load(accel_pointer<const accel_u32x4>(from));
    return;
  }
  accel_u32 v[4] = {};
  ACCEL_UNROLL
  for (accel_u32 i = 0; i < 16; ++i) {
    const accel_u64 a = from + i;
    const bool there = a >= w.begin && a < w.end;
    const accel_u32 byte = *accel_pointer<const accel_u8>(there ? a : w.begin);
    v[i / 4] |= (there ? byte : 0) << 8 * (i % 4);
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

/* A symbol, where its slots begin and how many they are. */
struct coding_found {
  accel_u32 symbol, offset, frequency; /* offset: of the slot; beyond frequency: not found */
};

/* Of the two symbols that are likeliest; with the next state, worked out for both at once. */
template <unsigned Table>
ACCEL_DEVICE coding_found coding_look_up(const coding_table& table, accel_u32 slot, accel_u32 q,
                                         accel_u32* x) {
  const accel_u32 lane = accel_lane();
  accel_u32 symbol, one, two;
  if (Table == CODING_TABLE_WIDE) {
    /* From one bucket to the next it is 256 bytes: twice its slots. */
    static_assert(32 * sizeof(accel_u32x2) == 2 << CODING_WIDE_SHIFT, "");
    const accel_u8* const mine = reinterpret_cast<const accel_u8*>(table.wide + lane);
    const accel_u32 at = (slot & ~((1u << CODING_WIDE_SHIFT) - 1)) * 2;
    const accel_u32x2 both = *reinterpret_cast<const accel_u32x2*>(mine + at);
    symbol = both.y >> 16;
    one = both.x;
    two = both.y & 0xFFFF;
  } else {
    const accel_u32* const mine = table.pairs + lane;
    symbol = table.first[(slot & ~((1u << CODING_FIRST_SHIFT) - 1)) + lane];
    one = mine[symbol * CODING_PITCH];
    two = mine[(symbol + 1) * CODING_PITCH] >> 16;
  }
  const accel_u32 frequency = one >> 16, offset = slot - (one & 0xFFFF);
  const accel_u32 further = offset - frequency;
  const accel_u32 x_one = frequency * q + offset, x_two = two * q + further;
  const bool first = offset < frequency;
  *x = first ? x_one : x_two;
  return {first ? symbol : symbol + 1, first ? offset : further, first ? frequency : two};
}

/* The same for any slot, in the lanes that are `far` off. All lanes go the same way, so that the
 * group does not come apart; and no further than there are bins, whatever the model has become. */
ACCEL_DEVICE coding_found coding_look_further(const coding_table& table, accel_u32 slot,
                                              coding_found f, bool far) {
  const accel_u32* const mine = table.pairs + accel_lane();
  accel_u32 steps = table.bins;
  while (accel_any(far)) {
    const accel_u32 here = mine[f.symbol * CODING_PITCH];
    const accel_u32 start = here & 0xFFFF, offset = slot - start;
    const bool up = far && slot >= start && offset >= here >> 16 && f.symbol + 1 < table.bins;
    const bool down = far && slot < start && f.symbol > 0;
    f.offset = far ? offset : f.offset;
    f.frequency = far ? here >> 16 : f.frequency;
    f.symbol = f.symbol + (up ? 1 : 0) - (down ? 1 : 0);
    --steps;
    far = (up || down) && steps != 0;
  }
  return f;
}

/* The same by halves, among the symbols [low, high). */
ACCEL_DEVICE coding_found coding_halve(const coding_table& table, accel_u32 slot, accel_u32 low,
                                       accel_u32 high) {
  const accel_u32* const mine = table.pairs + accel_lane();
  while (accel_any(low + 1 < high)) {
    const bool more = low + 1 < high;
    const accel_u32 middle = more ? (low + high) / 2 : low;
    const bool upper = (mine[middle * CODING_PITCH] & 0xFFFF) <= slot;
    low = upper ? middle : low;
    high = upper ? high : middle;
  }
  const accel_u32 here = mine[low * CODING_PITCH];
  return {low, slot - (here & 0xFFFF), here >> 16};
}

/* Among those of the slot's bucket; in lanes that are not `far`, the symbol that was found. */
ACCEL_DEVICE coding_found coding_halve_bucket(const coding_table& table, accel_u32 slot,
                                              const coding_found& f, bool far) {
  const accel_u32 bucket = slot >> CODING_FIRST_SHIFT;
  const accel_u32 next = accel_min(bucket + 1, (accel_u32)CODING_FIRST_BUCKETS - 1);
  const accel_u32 after = table.first[next * 32 + accel_lane()] + 1u;
  const accel_u32 end = next == bucket ? table.bins : after;
  const accel_u32 low = far ? accel_min(f.symbol, table.bins - 1) : f.symbol;
  return coding_halve(table, slot, low, far ? end : low + 1);
}

/* One symbol of each lane. */
template <unsigned Table>
ACCEL_DEVICE accel_u32 coding_decode_step(coding_decoder& d, const coding_table& table,
                                          accel_u32 below) {
  const accel_u32 slot = accel_codec_slot(d.x), q = d.x >> ACCEL_CODEC_SCALE_BITS;
  coding_found f;
  accel_u32 x;
  if (Table == CODING_TABLE_NONE) {
    f = coding_halve(table, slot, 0, table.bins);
    x = f.frequency * q + f.offset;
  } else {
    f = coding_look_up<Table>(table, slot, q, &x);
  }
  accel_u32 lows = accel_ballot(accel_codec_is_low(x) != 0);
  if (Table != CODING_TABLE_NONE) {
    const bool far = f.offset >= f.frequency;
    if (accel_any(far)) { /* seldom */
      f = Table == CODING_TABLE_WIDE ? coding_look_further(table, slot, f, far)
                                     : coding_halve_bucket(table, slot, f, far);
      x = f.frequency * q + f.offset;
      lows = accel_ballot(accel_codec_is_low(x) != 0);
    }
  }
  const accel_u32 place = (d.words.at * 2 + accel_popc(lows & below) * 2) % (CODING_RING_WORDS * 2);
  const accel_u32 word = *reinterpret_cast<const accel_u16*>(
      reinterpret_cast<const accel_u8*>(d.words.ring) + place);
  d.x = accel_codec_is_low(x) ? x << 16 | word : x;
  d.words.at += accel_popc(lows);
  return f.symbol;
}

template <unsigned Table>
ACCEL_DEVICE void coding_decode_row(coding_decoder& d, const coding_table& table, accel_u8* to,
                                    accel_i64 stride, accel_u64 tokens, bool active) {
  const accel_u32 below = accel_lanes_below();
  for (; tokens >= CODING_STEPS; tokens -= CODING_STEPS) {
    coding_refill(d.words);
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < CODING_STEPS; ++k) {
      const accel_u32 symbol = coding_decode_step<Table>(d, table, below);
      if (active) *to = (accel_u8)symbol;
      to += stride;
    }
  }
  coding_refill(d.words);
  ACCEL_NO_UNROLL
  for (; tokens != 0; --tokens) {
    const accel_u32 symbol = coding_decode_step<Table>(d, table, below);
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

/* Group 0 decodes, all build buckets; if there is room for two, the others build the next row's pairs
 * meanwhile. Shared memory: the ring, the buckets, the pairs. */
template <unsigned Table>
ACCEL_DEVICE void coding_decode_streams(const coding_decode_args& args, const coding_container& c,
                                        accel_u32* shared) {
  const accel_u32 size = CODING_PAIRS_WORDS(args.bins);
  accel_u32* const buckets = shared + CODING_RING_WORDS / 2;
  constexpr accel_u32 kBuckets = Table == CODING_TABLE_WIDE    ? CODING_WIDE_BUCKETS
                                 : Table == CODING_TABLE_FIRST ? CODING_FIRST_BUCKETS
                                                               : 0;
  accel_u32* const pairs = buckets + kBuckets * (Table == CODING_TABLE_WIDE ? 64 : 8);
  coding_table table;
  table.wide = reinterpret_cast<accel_u32x2*>(buckets);
  table.first = reinterpret_cast<accel_u8*>(buckets);
  table.bins = args.bins;
  const accel_u32 group = coding_group(), groups = accel_threads() / 32;
  coding_decoder d;
  d.words.ring = reinterpret_cast<accel_u16*>(shared);
  d.words.begin = args.data;
  d.words.end = args.data + args.bytes;
  for (accel_u64 i = accel_block_x(); i < c.split.streams; i += accel_grid_x()) {
    const accel_codec_stream place = accel_codec_stream_at(&c.split, i);
    const coding_entry entry = coding_entry_at(c, place, i);
    if (accel_any(!entry.sound)) continue; /* changed since it was verified */
    const accel_u64 begin = coding_uniform(entry.begin), end = coding_uniform(entry.end);
    const accel_u64 states = c.payload + begin * 4, from = states + place.lanes * 4;
    const accel_u64 words = (end - begin - place.lanes) * 2;
    const auto pairs_of = [&](accel_u64 r) { return pairs + (args.twice ? (r & 1) * size : 0); };
    const auto build = [&](accel_u64 r, accel_u32 thread, accel_u32 threads) {
      const coding_row row =
          coding_row_at(args.model, args.bins, args.channels, place.layer, place.row + r);
      accel_u32 none = 0;
      coding_build_pairs<false>(pairs_of(r), row, args.bins, thread, threads, args.state, &none);
    };
    d.x = ACCEL_CODEC_STATE_LOW;
    if (group == 0) {
      if (accel_lane() < place.lanes) d.x = coding_load_unit(states + accel_lane() * 4);
      coding_begin_words(d.words, from);
    }
    bool sound = true;
    for (accel_u64 r = 0; r < place.rows; ++r) {
      if (!args.twice || r == 0) build(r, accel_thread(), accel_threads());
      accel_sync_threads();
      table.pairs = pairs_of(r);
      if (Table != CODING_TABLE_NONE) {
        const accel_u32 first = kBuckets * group / groups, last = kBuckets * (group + 1) / groups;
        if (Table == CODING_TABLE_WIDE) {
          coding_build_wide(table, first, last);
        } else {
          coding_build_first(table, first, last);
        }
        accel_sync_threads();
      }
      if (group == 0) {
        if (r == 0) sound = !accel_any(accel_codec_is_low(d.x));
        const accel_u64 channel = (place.row + r) * ACCEL_CODEC_LANES + accel_lane();
        accel_u8* const to = accel_pointer<accel_u8>(
            args.out.data + (accel_u64)((accel_i64)place.layer * args.out.layer_stride +
                                        (accel_i64)place.token * args.out.token_stride +
                                        (accel_i64)channel));
        if (sound) {
          coding_decode_row<Table>(d, table, to, args.out.token_stride, place.tokens,
                                  channel < args.channels);
        }
      } else if (args.twice && r + 1 < place.rows) {
        build(r + 1, accel_thread() - 32, accel_threads() - 32);
      }
      accel_sync_threads();
    }
    if (group == 0) {
      accel_u32 wrong = CODING_FOUND_LOW_STATE;
      if (sound) wrong = coding_check_end(d, words, from);
      if (wrong != 0 && accel_lane() == 0) coding_report(args.state, wrong, i);
    }
  }
}

ACCEL_KERNEL_BOUNDS(128, 4, coding_decode, coding_decode_args, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, shared);
  ACCEL_SHARED accel_u32 word;
  coding_container c{};
  bool sound = coding_state_of(args.state)->finding == 0;
  if (accel_any(!sound)) return;
  sound = coding_read_header(args, c) == CODING_NO_FINDING && coding_fits(args, c);
  if (accel_any(!sound)) return;
  coding_agree(c);
  if (args.table == CODING_TABLE_WIDE) {
    coding_decode_streams<CODING_TABLE_WIDE>(args, c, shared);
  } else if (args.table == CODING_TABLE_FIRST) {
    coding_decode_streams<CODING_TABLE_FIRST>(args, c, shared);
  } else {
    coding_decode_streams<CODING_TABLE_NONE>(args, c, shared);
  }
  if (!coding_is_last_block(args.state, &word) || accel_thread() != 0) return;
  const accel_u64 key = coding_first_finding(args.state);
  if (key != CODING_NO_FINDING) coding_tell(args.fault, key, args.bins);
}
