/* Decoding what coding_verify found sound: a block a stream. */
#include "coding_buckets.h"
#include "coding_container.h"
#include "coding_words.h"

struct coding_decoder {
  accel_u32 x;
  coding_words words;
};

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
  const accel_u32 word = accel_shuffle(d.words.candidate, accel_popc(lows & below));
  d.x = accel_codec_is_low(x) ? x << 16 | word : x;
  coding_advance(d.words, accel_popc(lows));
  return f.symbol;
}

template <unsigned Table>
ACCEL_DEVICE void coding_decode_row(coding_decoder& d, const coding_table& table, accel_u64 to,
                                    accel_i64 stride, accel_u64 tokens, bool active) {
  const accel_u32 below = accel_lanes_below();
  for (; tokens >= CODING_STEPS; tokens -= CODING_STEPS) {
    coding_refill(d.words);
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < CODING_STEPS; ++k) {
      const accel_u32 symbol = coding_decode_step<Table>(d, table, below);
      coding_store_byte_if(active, to, symbol);
      to += (accel_u64)stride;
    }
  }
  coding_refill(d.words);
  ACCEL_NO_UNROLL
  for (; tokens != 0; --tokens) {
    const accel_u32 symbol = coding_decode_step<Table>(d, table, below);
    coding_store_byte_if(active, to, symbol);
    to += (accel_u64)stride;
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

/* Group 0 decodes. If there is room for three sets of pairs, the others meanwhile choose the next
 * row's symbols and build the pairs of the row after it; else all build before each row. Shared
 * memory: the ring, the buckets, the pairs. */
template <unsigned Table>
ACCEL_DEVICE void coding_decode_streams(const coding_decode_args& args, const coding_container& c,
                                        accel_u32* shared) {
  constexpr bool kWide = Table == CODING_TABLE_WIDE;
  constexpr accel_u32 kBuckets = kWide                         ? CODING_WIDE_BUCKETS
                                 : Table == CODING_TABLE_FIRST ? CODING_FIRST_BUCKETS
                                                               : 0;
  const accel_u32 size = CODING_PAIRS_WORDS(args.bins);
  accel_u32* const buckets = shared + CODING_RING_WORDS / 2;
  accel_u32* const first = buckets + (kWide ? kBuckets * 64 : 0);
  accel_u32* const pairs = first + kBuckets * 8;
  coding_table table;
  table.wide = reinterpret_cast<accel_u32x2*>(buckets);
  table.first = reinterpret_cast<accel_u8*>(first);
  table.bins = args.bins;
  const bool ahead = kWide && args.ahead != 0;
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
    const auto pairs_of = [&](accel_u64 r) { return pairs + (ahead ? (accel_u32)(r % 3) * size : 0); };
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
      if (!ahead || r == 0) build(r, accel_thread(), accel_threads());
      if (ahead && r == 0 && place.rows > 1) build(1, accel_thread(), accel_threads());
      accel_sync_threads();
      table.pairs = pairs_of(r);
      const accel_u32 begin_at = kBuckets * group / groups, end_at = kBuckets * (group + 1) / groups;
      if (Table == CODING_TABLE_FIRST) coding_build_first(table, begin_at, end_at);
      if (kWide && (!ahead || r == 0)) {
        coding_choose(table, begin_at, end_at);
        accel_sync_threads();
      }
      if (kWide) coding_build_wide(table, begin_at, end_at);
      if (Table != CODING_TABLE_NONE) accel_sync_threads();
      if (group == 0) {
        if (r == 0) sound = !accel_any(accel_codec_is_low(d.x));
        const accel_u64 channel = (place.row + r) * ACCEL_CODEC_LANES + accel_lane();
        const accel_u64 to =
            args.out.data + (accel_u64)((accel_i64)place.layer * args.out.layer_stride +
                                        (accel_i64)place.token * args.out.token_stride +
                                        (accel_i64)channel);
        if (sound) {
          coding_decode_row<Table>(d, table, to, args.out.token_stride, place.tokens,
                                  channel < args.channels);
        }
      } else if (ahead && r + 1 < place.rows) {
        table.pairs = pairs_of(r + 1);
        const accel_u32 helpers = groups - 1, helper = group - 1;
        coding_choose(table, kBuckets / 4 * helper / helpers * 4,
                      kBuckets / 4 * (helper + 1) / helpers * 4);
        if (r + 2 < place.rows) build(r + 2, accel_thread() - 32, accel_threads() - 32);
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
