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
  for (accel_u64 j = begin + accel_thread(); j < end; j += accel_threads()) {
    const accel_u32 low = model[j];
    const accel_u32 high = bin < args.bins ? model[j + 1] : (accel_u32)ACCEL_CODEC_SCALE;
    sum += accel_codec_mix(low, (accel_u32)j, ACCEL_CODEC_SEED_MODEL);
    const bool rises = bin < args.bins ? low <= high : low == high;
    if (!rises || (bin == 0 && low != 0)) coding_report(args.state, CODING_FOUND_MODEL, row);
    row += rows_on;
    bin += entries_on;
    if (bin >= entries) {
      bin -= entries;
      ++row;
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
      accel_u32 sum = 0;
      ACCEL_UNROLL
      for (accel_u32 u = accel_thread(); u < units; u += accel_threads()) {
        sum += accel_codec_mix(coding_load_unit(c.payload + (e.begin + u) * 4), u, seed);
      }
      sum = coding_block_sum(sum, partial);
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
