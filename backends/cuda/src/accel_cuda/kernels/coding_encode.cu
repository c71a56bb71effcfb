/* Encoding: every stream into memory of its own, a block each. coding_assemble.cu puts them
 * together. */
#include "coding_tables.h"

enum { CODING_TOKENS_AHEAD = 8 };

/* The bits of 1 / f, with an error of some units in the last place. On CUDA it stays where it is
 * written, before the steps that wait for one another. */
ACCEL_DEVICE accel_u32 coding_reciprocal_bits(accel_u32 f) {
  union {
    float value;
    accel_u32 bits;
  } r;
#if defined(__CUDA_ARCH__)
  asm volatile("rcp.approx.ftz.f32 %0, %1;" : "=f"(r.value) : "f"((float)f));
#else
  r.value = 1.0f / (float)f;
#endif
  return r.bits;
}

/* A symbol's start and frequency, and what divides by the latter. */
struct coding_divisor {
  accel_u32 pair;          /* start | frequency << 16 */
  accel_u32 factor, shift; /* x * factor >> (32 + shift) is x / frequency or one less */
};

/* The quotient stays below 2^18, so that four units in the last place of 24 bits make it one too
 * small at most; `factor` is the reciprocal less these, scaled to have its highest bit set. */
ACCEL_DEVICE coding_divisor coding_divisor_of(accel_u32 pair) {
  const accel_u32 bits = coding_reciprocal_bits(pair >> 16) - 3;
  return {pair, bits << 8 | 0x80000000u, (126 - (bits >> 23)) & 31};
}

/* What one lane codes. */
struct coding_encoder {
  accel_u32 x;
  accel_u32 given; /* words, by all lanes */
  accel_u64 end;   /* the address that they go below */
};

/* Words that lanes give in one step: who, and what each has. */
struct coding_given {
  accel_u32 all, word;
  bool full;
};

/* One symbol of each lane; no branch. What is known of the symbol is worked out before, where the
 * words go after: meanwhile the next steps go on. */
ACCEL_DEVICE coding_given coding_encode_step(accel_u32& state, const coding_divisor& d) {
  const accel_u32 start = d.pair & 0xFFFF, frequency = d.pair >> 16;
  coding_given g;
  g.full = accel_codec_is_full(state, frequency) != 0;
  g.all = accel_ballot(g.full);
  g.word = state;
  const accel_u32 x = g.full ? state >> 16 : state;
  const accel_u32 q = accel_mul_high(x, d.factor) >> d.shift;
  const accel_u32 r = x - q * frequency;
  const accel_u32 base = (q << ACCEL_CODEC_SCALE_BITS) + start;
  state = base + (r >= frequency ? r + (ACCEL_CODEC_SCALE - frequency) : r);
  return g;
}

template <bool Dry>
ACCEL_DEVICE void coding_give(coding_encoder& e, const coding_given& g) {
  const accel_u32 place = e.given + accel_popc(g.all >> accel_lane());
  if (!Dry) coding_store_word_if(g.full, e.end + (accel_u64)((accel_i64)(accel_i32)place * -2), g.word);
  e.given += accel_popc(g.all);
}

/* The symbols of a lane's channel, from the last token to the first. */
struct coding_source {
  const accel_u32* pairs; /* of the lane */
  const accel_u8* next;
  accel_i64 stride;
  accel_u32 left; /* not loaded yet */
  accel_u32 bins;
  bool active; /* a lane that is not reads nothing */
  bool wrong;  /* some symbol cannot be encoded; another is taken for it */
};

/* Brings the next symbols, and zeros past the last. */
ACCEL_DEVICE void coding_load_symbols(coding_source& s, accel_u32 (&symbols)[CODING_TOKENS_AHEAD]) {
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < CODING_TOKENS_AHEAD; ++k) {
    symbols[k] = s.active && k < s.left ? s.next[-(accel_i64)k * s.stride] : 0;
  }
  s.next -= CODING_TOKENS_AHEAD * s.stride;
  s.left -= accel_min(s.left, (accel_u32)CODING_TOKENS_AHEAD);
}

/* `now` of the symbols are some. */
ACCEL_DEVICE void coding_look_up(coding_source& s,
                                 const accel_u32 (&symbols)[CODING_TOKENS_AHEAD], accel_u32 now,
                                 coding_divisor (&d)[CODING_TOKENS_AHEAD]) {
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < CODING_TOKENS_AHEAD; ++k) {
    const accel_u32 pair = s.pairs[accel_min(symbols[k], s.bins - 1) * CODING_PITCH];
    s.wrong |= k < now && (symbols[k] >= s.bins || pair >> 16 == 0);
    d[k] = coding_divisor_of(pair);
  }
}

/* One row of a stream. While symbols are coded, the next ones' frequencies are looked up, and those
 * after them are brought. */
template <bool Dry>
ACCEL_DEVICE void coding_encode_row(coding_encoder& e, coding_source& s, accel_u32 tokens) {
  enum : accel_u32 { kAhead = CODING_TOKENS_AHEAD };
  accel_u32 symbols[kAhead];
  coding_divisor d[kAhead];
  coding_load_symbols(s, symbols);
  coding_look_up(s, symbols, tokens, d);
  coding_load_symbols(s, symbols);
  accel_u32 left = tokens;
  for (; left >= kAhead; left -= kAhead) {
    coding_divisor next[kAhead];
    coding_look_up(s, symbols, left - kAhead, next);
    coding_load_symbols(s, symbols);
    coding_given before = coding_encode_step(e.x, d[0]);
    ACCEL_UNROLL
    for (accel_u32 k = 1; k < kAhead; ++k) {
      const coding_given now = coding_encode_step(e.x, d[k]);
      coding_give<Dry>(e, before);
      before = now;
    }
    coding_give<Dry>(e, before);
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) d[k] = next[k];
  }
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kAhead; ++k) {
    if (k < left) coding_give<Dry>(e, coding_encode_step(e.x, d[k]));
  }
}

/* Reports the symbols of a lane's channel that cannot be encoded: rare, so it reads them again. */
ACCEL_DEVICE void coding_report_symbols(const coding_encode_args& args,
                                        const accel_codec_stream& place, const coding_row& row,
                                        accel_u64 channel, const accel_u8* from) {
  const accel_u16* const model = row.model + (accel_u64)accel_lane() * (args.bins + 1);
  for (accel_u64 t = 0; t < place.tokens; ++t) {
    const accel_u32 symbol = from[(accel_i64)t * args.symbols.token_stride];
    const accel_u64 where =
        (place.layer * args.split.tokens + place.token + t) * args.split.channels + channel;
    if (symbol >= args.bins) {
      coding_report(args.state, CODING_FOUND_OUTSIDE, where);
    } else if (model[symbol] == model[symbol + 1]) {
      coding_report(args.state, CODING_FOUND_NO_FREQUENCY, where);
    }
  }
}

/* Where there is no token to encode, there may be a model: it is looked at all the same. One block. */
ACCEL_DEVICE accel_u32 coding_look_at_model(const coding_encode_args& args, accel_u32* pairs) {
  accel_u32 sum = 0;
  for (accel_u64 layer = 0; layer < args.split.layers; ++layer) {
    for (accel_u64 r = 0; r < args.split.rows; ++r) {
      const coding_row row = coding_row_at(args.model, args.bins, args.split.channels, layer, r);
      coding_build_pairs<true>(pairs, row, args.bins, accel_thread(), accel_threads(), args.state,
                               &sum);
      accel_sync_threads();
    }
  }
  return sum;
}

/* Group 0 codes a row; if there is room for two tables, the others build the next one meanwhile. */
ACCEL_KERNEL_BOUNDS(128, 4, coding_encode, coding_encode_args, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, tables);
  ACCEL_SHARED accel_u32 partial[32];
  if (args.split.streams == 0) {
    const accel_u32 all = coding_block_sum(coding_look_at_model(args, tables), partial);
    if (accel_thread() == 0) accel_atomic_add(&coding_state_of(args.state)->model_sum, all);
    return;
  }
  const accel_u64 index = accel_block_x();
  const accel_codec_stream place = accel_codec_stream_at(&args.split, args.first + index);
  const accel_u32 size = CODING_PAIRS_WORDS(args.bins);
  const bool look = args.look != 0 && place.token == 0;
  accel_u32 sum = 0;
  const auto row_at = [&](accel_u64 r) {
    return coding_row_at(args.model, args.bins, args.split.channels, place.layer, place.row + r);
  };
  const auto build = [&](accel_u64 r, accel_u32 thread, accel_u32 threads) {
    accel_u32* const pairs = tables + (args.twice ? (r & 1) * size : 0);
    if (look) {
      coding_build_pairs<true>(pairs, row_at(r), args.bins, thread, threads, args.state, &sum);
    } else {
      coding_build_pairs<false>(pairs, row_at(r), args.bins, thread, threads, args.state, &sum);
    }
  };
  coding_encoder e;
  e.x = ACCEL_CODEC_STATE_LOW;
  e.given = 0;
  e.end = args.words + (index + 1) * args.stride * 2;
  const accel_u32 group = coding_group();
  for (accel_u64 r = place.rows; r-- > 0;) {
    if (!args.twice || r + 1 == place.rows) build(r, accel_thread(), accel_threads());
    accel_sync_threads();
    if (group == 0) {
      const coding_row row = row_at(r);
      const accel_u64 channel = (place.row + r) * ACCEL_CODEC_LANES + accel_lane();
      const accel_u8* const from = accel_pointer<const accel_u8>(
          args.symbols.data + (accel_u64)((accel_i64)place.layer * args.symbols.layer_stride +
                                          (accel_i64)place.token * args.symbols.token_stride +
                                          (accel_i64)channel * args.symbols.channel_stride));
      const accel_u32* const pairs = tables + (args.twice ? (r & 1) * size : 0);
      const accel_i64 stride = args.symbols.token_stride;
      const accel_u32 tokens = (accel_u32)place.tokens;
      coding_source s{pairs + accel_lane(), from + (accel_i64)(tokens - 1) * stride, stride, tokens,
                      args.bins, accel_lane() < row.lanes, false};
      if (args.dry) {
        coding_encode_row<true>(e, s, tokens);
      } else {
        coding_encode_row<false>(e, s, tokens);
      }
      if (s.wrong && s.active && args.look) coding_report_symbols(args, place, row, channel, from);
    } else if (args.twice && r != 0) {
      build(r - 1, accel_thread() - 32, accel_threads() - 32);
    }
    accel_sync_threads();
  }
  sum = coding_block_sum(sum, partial);
  if (accel_thread() == 0 && look) {
    accel_atomic_add(&coding_state_of(args.state)->model_sum, sum);
  }
  if (group == 0 && !args.dry) {
    accel_pointer<accel_u32>(args.states)[index * 32 + accel_lane()] = e.x;
    if (accel_lane() == 0) {
      accel_u32* const sizes = accel_pointer<accel_u32>(args.sizes) + index * 2;
      sizes[0] = (accel_u32)(place.lanes + (e.given + 1) / 2);
      sizes[1] = e.given;
    }
  }
}
