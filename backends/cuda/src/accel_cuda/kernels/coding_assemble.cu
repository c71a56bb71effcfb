/* Encoded streams into the container: their places, checks, directory and header. */
#include "coding_common.h"

/* Header and result, once all streams are in place. One thread. */
ACCEL_DEVICE void coding_finish(const coding_encode_args& args, accel_u64 key) {
  const coding_state* const state = coding_state_of(args.state);
  coding_result* const result = accel_pointer<coding_result>(args.result);
  const accel_codec_split& s = args.split;
  const accel_u64 bytes =
      ACCEL_CODEC_HEADER_BYTES + s.streams * ACCEL_CODEC_ENTRY_BYTES + state->units * 4;
  result->key = key;
  result->bytes = bytes;
  result->value = 0;
  if (key == CODING_NO_FINDING) {
    const accel_u32 words[15] = {
        0x43564B41u, /* AKVC */
        ACCEL_CODEC_VERSION | ACCEL_CODEC_SCALE_BITS << 16 | ACCEL_CODEC_LANES << 24,
        args.bins, state->model_sum,
        (accel_u32)s.layers, (accel_u32)(s.layers >> 32),
        (accel_u32)s.tokens, (accel_u32)(s.tokens >> 32),
        (accel_u32)s.channels, (accel_u32)(s.channels >> 32),
        (accel_u32)s.chunks, (accel_u32)s.groups,
        (accel_u32)bytes, (accel_u32)(bytes >> 32),
        state->directory_sum,
    };
    accel_u32 check = 0;
    for (accel_u32 i = 0; i < 15; ++i) {
      check += accel_codec_mix(words[i], i, ACCEL_CODEC_SEED_HEADER);
      coding_store_unit(args.out + i * 4, words[i]);
    }
    coding_store_unit(args.out + 60, check);
  } else if (CODING_KEY_KIND(key) != CODING_FOUND_MODEL) {
    const accel_u64 where = CODING_KEY_WHERE(key);
    const accel_u64 row = where / s.channels;
    const accel_i64 at = (accel_i64)(row / s.tokens) * args.symbols.layer_stride +
                         (accel_i64)(row % s.tokens) * args.symbols.token_stride +
                         (accel_i64)(where % s.channels) * args.symbols.channel_stride;
    result->value = *accel_pointer<const accel_u8>(args.symbols.data + (accel_u64)at);
  }
  accel_fence_system();
}

/* A block a stream: where it goes is the sum of those before. Nothing is written after a finding. */
ACCEL_KERNEL_BOUNDS(256, 4, coding_assemble, coding_encode_args, args) {
  ACCEL_SHARED accel_u32 partial[32];
  ACCEL_SHARED accel_u32 word;
  coding_state* const state = coding_state_of(args.state);
  const accel_u64 key = ~state->finding; /* nobody reports any more */
  const accel_u64 index = accel_block_x();
  if (key == CODING_NO_FINDING && index < args.count) {
    const accel_u32* const sizes = accel_pointer<const accel_u32>(args.sizes);
    accel_u32 before = 0; /* all streams have less than 2^32 units */
    for (accel_u64 i = accel_thread(); i < index; i += accel_threads()) before += sizes[i * 2];
    before = coding_block_sum(before, partial);
    if (accel_thread() == 0) word = before;
    accel_sync_threads();
    const accel_u64 begin = state->units + word;
    const accel_u32 units = sizes[index * 2], words = sizes[index * 2 + 1];
    const accel_u64 stream = args.first + index;
    const accel_codec_stream place = accel_codec_stream_at(&args.split, stream);
    const accel_u32 lanes = (accel_u32)place.lanes;
    const accel_u32* const states = accel_pointer<const accel_u32>(args.states) + index * 32;
    const accel_u16* const from =
        accel_pointer<const accel_u16>(args.words) + (index + 1) * args.stride - words;
    const accel_u64 directory = args.out + ACCEL_CODEC_HEADER_BYTES;
    const accel_u64 to =
        directory + args.split.streams * ACCEL_CODEC_ENTRY_BYTES + begin * 4;
    const accel_u32 seed = (accel_u32)(ACCEL_CODEC_SEED_STREAM + stream);
    accel_u32 check = 0;
    const auto unit_at = [&](accel_u32 u) -> accel_u32 {
      if (u < lanes) return states[u];
      const accel_u32 w = (u - lanes) * 2;
      const accel_u32 high = w + 1 < words ? from[w + 1] : 0;
      return from[w] | high << 16;
    };
    enum { kTogether = 8 };
    for (accel_u32 first = accel_thread(); first < units; first += kTogether * accel_threads()) {
      accel_u32 v[kTogether];
      ACCEL_UNROLL
      for (accel_u32 k = 0; k < kTogether; ++k) {
        const accel_u32 u = first + k * accel_threads();
        v[k] = u < units ? unit_at(u) : 0;
      }
      ACCEL_UNROLL
      for (accel_u32 k = 0; k < kTogether; ++k) {
        const accel_u32 u = first + k * accel_threads();
        if (u < units) {
          coding_store_unit(to + (accel_u64)u * 4, v[k]);
          check += accel_codec_mix(v[k], u, seed);
        }
      }
    }
    check = coding_block_sum(check, partial);
    if (accel_thread() == 0) {
      coding_store_unit(directory + stream * 8, (accel_u32)begin);
      coding_store_unit(directory + stream * 8 + 4, check);
      const accel_u32 i = (accel_u32)(stream * 2);
      accel_atomic_add(&state->directory_sum,
                       accel_codec_mix((accel_u32)begin, i, ACCEL_CODEC_SEED_DIRECTORY) +
                           accel_codec_mix(check, i + 1, ACCEL_CODEC_SEED_DIRECTORY));
      if (index + 1 == args.count) state->next_units = begin + units;
    }
  }
  if (!coding_is_last_block(args.state, &word) || accel_thread() != 0) return;
  state->done = 0;
  state->units = state->next_units;
  if (args.last) coding_finish(args, key);
}
