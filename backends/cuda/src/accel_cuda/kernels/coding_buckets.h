/* How a decoder finds the symbol of a slot: buckets in shared memory, and how they are made. */
#ifndef ACCEL_CUDA_CODING_BUCKETS_H
#define ACCEL_CUDA_CODING_BUCKETS_H

#include "coding_tables.h"

/* A wide bucket holds start | frequency << 16 of one symbol, then frequency | symbol << 16, where the
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
  accel_u8* first; /* or, with wide buckets, the first of their two symbols */
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

/* Chooses the symbols of wide buckets: the one in the middle, with that neighbour which has more of
 * the bucket. Much work, which can be done while the buckets are in use. */
ACCEL_DEVICE void coding_choose(const coding_table& table, accel_u32 begin, accel_u32 end) {
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
      if (b + i < end) {
        const accel_u32 chosen = below > above ? lower : symbol;
        table.first[(b + i) * 32 + accel_lane()] = (accel_u8)chosen;
      }
    }
  }
}

/* Fills in wide buckets with the symbols that were chosen. */
ACCEL_DEVICE void coding_build_wide(const coding_table& table, accel_u32 begin, accel_u32 end) {
  enum { kTogether = 8 };
  const accel_u32* const mine = table.pairs + accel_lane();
  for (accel_u32 b = begin; b < end; b += kTogether) {
    ACCEL_UNROLL
    for (accel_u32 i = 0; i < kTogether; ++i) {
      const accel_u32 at = (b + i) * 32 + accel_lane(), chosen = table.first[at];
      const accel_u32 one = mine[chosen * CODING_PITCH];
      const accel_u32 two = mine[(chosen + 1) * CODING_PITCH];
      table.wide[at] = {one, two >> 16 | chosen << 16};
    }
  }
}

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

/* The same for any slot, in the lanes that are `far` off, from the bucket's two symbols outwards: one
 * step is nearly always enough. All lanes go the same way, so that the group does not come apart; and
 * no further than there are bins, whatever the model has become. */
ACCEL_DEVICE coding_found coding_look_further(const coding_table& table, accel_u32 slot,
                                              coding_found f, bool far) {
  const accel_u32* const mine = table.pairs + accel_lane();
  /* `f` is the second of the two, and its offset is negative below the first. */
  const bool below = (accel_i32)f.offset < 0;
  const accel_i32 step = below ? -1 : 1, last = (accel_i32)table.bins - 1;
  accel_i32 symbol = (accel_i32)f.symbol - (below ? 1 : 0);
  for (accel_u32 left = table.bins; left != 0; --left) {
    symbol = accel_max(0, accel_min(symbol + step, last));
    const accel_u32 here = mine[(accel_u32)symbol * CODING_PITCH];
    f.symbol = far ? (accel_u32)symbol : f.symbol;
    f.offset = far ? slot - (here & 0xFFFF) : f.offset;
    f.frequency = far ? here >> 16 : f.frequency;
    far = far && f.offset >= f.frequency;
    if (!accel_any(far)) break;
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

#endif
