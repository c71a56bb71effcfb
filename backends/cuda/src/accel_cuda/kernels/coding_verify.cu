/* Before decoding: header, directory, model, and the checks over all bytes. Nothing is written but
 * what was found. */
#include "coding_container.h"

/* Rows of the model from `first` to `last`: their part of its check; reports those that are none. */
ACCEL_DEVICE accel_u32 coding_check_rows(const coding_decode_args& args, accel_u64 first,
                                         accel_u64 last) {
  const accel_u16* const model = accel_pointer<const accel_u16>(args.model);
  const accel_u32 entries = args.bins + 1;
  const accel_u64 begin = first * entries, end = last * entries;
  const accel_u32 rows_on = accel_threads() / entries, entries_on = accel_threads() % entries;
  accel_u64 row = first + accel_thread() / entries;
  accel_u32 bin = accel_thread() % entries;
  accel_u32 sum = 0;
  enum { kAhead = 8 };
  for (accel_u64 j = begin + accel_thread(); j < end; j += kAhead * accel_threads()) {
    accel_u32 low[kAhead], high[kAhead];
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) {
      const accel_u64 at = j + k * accel_threads();
      low[k] = at < end ? model[at] : 0;
      high[k] = at + 1 < end ? model[at + 1] : 0;
    }
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) {
      const accel_u64 at = j + k * accel_threads();
      if (at >= end) break;
      sum += accel_codec_mix(low[k], (accel_u32)at, ACCEL_CODEC_SEED_MODEL);
      const bool rises = bin < args.bins ? low[k] <= high[k] : low[k] == ACCEL_CODEC_SCALE;
      if (!rises || (bin == 0 && low[k] != 0)) coding_report(args.state, CODING_FOUND_MODEL, row);
      row += rows_on;
      bin += entries_on;
      if (bin >= entries) {
        bin -= entries;
        ++row;
      }
    }
  }
  return sum;
}

/* The check of `units` units at an address: this thread's part. */
ACCEL_DEVICE accel_u32 coding_check_units(accel_u64 from, accel_u32 units, accel_u32 seed) {
  enum { kAhead = 8 };
  accel_u32 sum = 0;
  for (accel_u32 first = accel_thread(); first < units; first += kAhead * accel_threads()) {
    accel_u32 v[kAhead];
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) {
      const accel_u32 u = first + k * accel_threads();
      v[k] = u < units ? coding_load_unit(from + (accel_u64)u * 4) : 0;
    }
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) {
      const accel_u32 u = first + k * accel_threads();
      if (u < units) sum += accel_codec_mix(v[k], u, seed);
    }
  }
  return sum;
}

ACCEL_KERNEL_BOUNDS(256, 4, coding_verify, coding_decode_args, args) {
  ACCEL_SHARED accel_u32 partial[32];
  ACCEL_SHARED accel_u32 word;
  const accel_u64 blocks = accel_grid_x(), block = accel_block_x();
  const accel_u64 all = blocks * accel_threads(), me = block * accel_threads() + accel_thread();
  coding_state* const state = coding_state_of(args.state);
  coding_container c{};
  const accel_u64 wrong = coding_read_header(args, c);
  accel_u32 directory_sum = 0, model_sum = 0;
  if (wrong != CODING_NO_FINDING) {
    if (me == 0) coding_report(args.state, CODING_KEY_KIND(wrong), CODING_KEY_WHERE(wrong));
  } else {
    const accel_codec_split& split = c.split;
    for (accel_u64 i = me; i < split.streams; i += all) {
      const accel_codec_stream place = accel_codec_stream_at(&split, i);
      const coding_entry e = coding_entry_at(c, place, i);
      const accel_u32 first = (accel_u32)(i * 2);
      directory_sum += accel_codec_mix((accel_u32)e.begin, first, ACCEL_CODEC_SEED_DIRECTORY);
      directory_sum += accel_codec_mix(e.check, first + 1, ACCEL_CODEC_SEED_DIRECTORY);
      if (!e.sound) coding_report(args.state, CODING_FOUND_RANGE, i);
    }
    for (accel_u64 i = block; i < split.streams; i += blocks) {
      const accel_codec_stream place = accel_codec_stream_at(&split, i);
      const coding_entry e = coding_entry_at(c, place, i);
      if (!e.sound) continue; /* the same in all threads */
      const accel_u32 seed = (accel_u32)(ACCEL_CODEC_SEED_STREAM + i);
      const accel_u32 units = (accel_u32)(e.end - e.begin);
      const accel_u32 sum =
          coding_block_sum(coding_check_units(c.payload + e.begin * 4, units, seed), partial);
      if (accel_thread() == 0 && sum != e.check) coding_report(args.state, CODING_FOUND_CHECK, i);
    }
    const accel_u64 rows = args.layers * args.channels;
    model_sum = coding_check_rows(args, accel_codec_part(rows, blocks, block),
                                  accel_codec_part(rows, blocks, block + 1));
    directory_sum = coding_block_sum(directory_sum, partial);
    model_sum = coding_block_sum(model_sum, partial);
    if (accel_thread() == 0) {
      accel_atomic_add(&state->directory_sum, directory_sum);
      accel_atomic_add(&state->model_sum, model_sum);
    }
  }
  if (!coding_is_last_block(args.state, &word) || accel_thread() != 0) return;
  state->done = 0;
  if (wrong == CODING_NO_FINDING) {
    if (accel_atomic_add(&state->directory_sum, 0u) != c.directory_check) {
      coding_report(args.state, CODING_FOUND_DIRECTORY, 0);
    }
    const accel_u64 payload = args.data + args.bytes - c.payload;
    if (payload % 4 != 0 || c.units > 0xFFFFFFFFu || (c.split.streams == 0 && payload != 0)) {
      coding_report(args.state, CODING_FOUND_UNITS, payload);
    }
    if (!coding_fits(args, c)) coding_report(args.state, CODING_FOUND_SHAPE, 0);
    if (c.bins != args.bins || accel_atomic_add(&state->model_sum, 0u) != c.model_check) {
      coding_report(args.state, CODING_FOUND_OTHER_MODEL, 0);
    }
  }
  const accel_u64 key = coding_first_finding(args.state);
  if (key == CODING_NO_FINDING) return;
  const bool shape = CODING_KEY_KIND(key) == CODING_FOUND_SHAPE;
  coding_tell(args.fault, key, args.bins, shape ? c.split.layers : args.bytes,
              shape ? c.split.tokens : args.tokens, shape ? c.split.channels : args.channels);
}
