/* Encoding: every stream into memory of its own, a block each. coding_assemble.cu puts them
 * together. */
#include "coding_tables.h"

enum { CODING_TOKENS_AHEAD = 16 };

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

/* Writes where `wanted`: on CUDA without a branch, at which a group would come apart. */
ACCEL_DEVICE void coding_store_if(bool wanted, accel_u64 to, accel_u32 word) {
#if defined(__CUDA_ARCH__)
  asm volatile(
      "{ .reg .pred p; setp.ne.u32 p, %2, 0; @p st.global.u16 [%0], %1; }" ::"l"(to),
      "h"((accel_u16)word), "r"((accel_u32)wanted)
      : "memory");
#else
  if (wanted) *accel_pointer<accel_u16>(to) = (accel_u16)word;
#endif
}

struct coding_divisor {
  accel_u32 start, frequency;
  accel_u32 factor, shift; /* x * factor >> (32 + shift) is x / frequency or one less */
  accel_u32 correction;
};

/* The quotient stays below 2^18, so that four units in the last place of 24 bits make it one too
 * small at most; `factor` is the reciprocal less these, scaled to have its highest bit set. */
ACCEL_DEVICE coding_divisor coding_divisor_of(accel_u32 pair) {
  coding_divisor d;
  d.start = pair & 0xFFFF;
  d.frequency = pair >> 16;
  const accel_u32 bits = coding_reciprocal_bits(d.frequency) - 3;
  d.factor = bits << 8 | 0x80000000u;
  d.shift = (126 - (bits >> 23)) & 31;
  d.correction = ACCEL_CODEC_SCALE - d.frequency;
  return d;
}

/* What one lane codes. */
struct coding_encoder {
  accel_u32 x;
  accel_u32 given; /* words, by all lanes */
  accel_u64 end;   /* the address that they go below */
};

/* No branch: what is known of the symbol is worked out beside the steps before. */
template <bool Dry>
ACCEL_DEVICE void coding_encode_step(coding_encoder& e, const coding_divisor& d) {
  const bool full = accel_codec_is_full(e.x, d.frequency) != 0;
  const accel_u32 all = accel_ballot(full);
  const accel_u32 place = e.given + accel_popc(all >> accel_lane());
  if (!Dry) coding_store_if(full, e.end + (accel_u64)((accel_i64)(accel_i32)place * -2), e.x);
  const accel_u32 x = full ? e.x >> 16 : e.x;
  e.given += accel_popc(all);
  const accel_u32 q = accel_mul_high(x, d.factor) >> d.shift;
  const accel_u32 r = x - q * d.frequency;
  const accel_u32 base = (q << ACCEL_CODEC_SCALE_BITS) + d.start;
  e.x = base + (r >= d.frequency ? r + d.correction : r);
}

/* One row of a stream, from the last token to the first. True if some symbol of this lane cannot be
 * encoded; another is then taken for it. A lane that is not active reads nothing. */
template <bool Dry>
ACCEL_DEVICE bool coding_encode_row(coding_encoder& e, const accel_u32* pairs, accel_u32 bins,
                                    const accel_u8* from, accel_i64 stride, accel_u32 tokens,
                                    bool active) {
  enum { kAhead = CODING_TOKENS_AHEAD };
  const accel_u32* const mine = pairs + accel_lane();
  accel_u32 next[kAhead];
  bool wrong = false;
  from += (accel_i64)(tokens - 1) * stride;
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kAhead; ++k) {
    next[k] = active && k < tokens ? from[-(accel_i64)k * stride] : 0;
  }
  accel_u32 left = tokens;
  for (; left >= kAhead; left -= kAhead) {
    coding_divisor d[kAhead];
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) {
      const accel_u32 pair = mine[accel_min(next[k], bins - 1) * CODING_PITCH];
      wrong |= next[k] >= bins || pair >> 16 == 0;
      d[k] = coding_divisor_of(pair);
    }
    from -= kAhead * stride;
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) {
      next[k] = active && k + kAhead < left ? from[-(accel_i64)k * stride] : 0;
    }
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) coding_encode_step<Dry>(e, d[k]);
  }
  ACCEL_UNROLL
  for (accel_u32 k = 0; k < kAhead; ++k) {
    if (k < left) {
      const accel_u32 pair = mine[accel_min(next[k], bins - 1) * CODING_PITCH];
      wrong |= next[k] >= bins || pair >> 16 == 0;
      coding_encode_step<Dry>(e, coding_divisor_of(pair));
    }
  }
  return wrong;
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
      const bool active = accel_lane() < row.lanes;
      const accel_i64 stride = args.symbols.token_stride;
      const accel_u32 tokens = (accel_u32)place.tokens;
      const bool wrong =
          args.dry ? coding_encode_row<true>(e, pairs, args.bins, from, stride, tokens, active)
                   : coding_encode_row<false>(e, pairs, args.bins, from, stride, tokens, active);
      if (wrong && active && args.look) coding_report_symbols(args, place, row, channel, from);
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
