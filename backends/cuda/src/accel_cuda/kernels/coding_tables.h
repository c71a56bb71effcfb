/* A row's models in shared memory: one table for each of its 32 lanes. */
#ifndef ACCEL_CUDA_CODING_TABLES_H
#define ACCEL_CUDA_CODING_TABLES_H

#include "coding_common.h"

/* pairs[bin * CODING_PITCH + lane] = start | frequency << 16, for bins + 1 bins (the last has no
 * frequency). Lanes of one bin lie in different banks, and so do bins of one lane. */
enum { CODING_PITCH = 33 };

#define CODING_PAIRS_WORDS(bins) (((bins) + 1) * CODING_PITCH)

/* Where a row's models are: `lanes` channels from `channel` on, in a layer of `channels`. */
struct coding_row {
  const accel_u16* model; /* of the first channel */
  accel_u64 unit;         /* number of its first entry in the whole model */
  accel_u64 number;       /* of the first channel, counted through all layers */
  accel_u32 lanes;
};

ACCEL_DEVICE coding_row coding_row_at(accel_u64 model, accel_u32 bins, accel_u64 channels,
                                      accel_u64 layer, accel_u64 row) {
  coding_row r;
  r.number = layer * channels + row * ACCEL_CODEC_LANES;
  r.unit = r.number * (bins + 1);
  r.model = accel_pointer<const accel_u16>(model) + r.unit;
  r.lanes = (accel_u32)accel_codec_row_lanes(channels, row);
  return r;
}

/* Fills in the pairs of a row: threads `thread` of `threads`. A lane without a channel gets one
 * symbol that leaves its state as it is. If `Look`, adds the row's part of the model's check to
 * `sum` and reports channels that are no models. */
template <bool Look>
ACCEL_DEVICE void coding_build_pairs(accel_u32* pairs, const coding_row& row, accel_u32 bins,
                                     accel_u32 thread, accel_u32 threads, accel_u64 state,
                                     accel_u32* sum) {
  enum { kAhead = 8 };
  const accel_u32 entries = bins + 1, count = row.lanes * entries;
  const accel_u32 lanes_on = threads / entries, entries_on = threads % entries;
  accel_u32 lane = thread / entries, bin = thread % entries;
  for (accel_u32 first = thread; first < count; first += kAhead * threads) {
    accel_u32 low[kAhead], high[kAhead];
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) {
      const accel_u32 j = first + k * threads;
      low[k] = j < count ? row.model[j] : 0;
      high[k] = j + 1 < count ? row.model[j + 1] : 0;
    }
    ACCEL_UNROLL
    for (accel_u32 k = 0; k < kAhead; ++k) {
      const accel_u32 j = first + k * threads;
      if (j >= count) break;
      const bool end = bin == bins;
      pairs[bin * CODING_PITCH + lane] = end ? low[k] : low[k] | (high[k] - low[k]) << 16;
      if (Look) {
        *sum += accel_codec_mix(low[k], (accel_u32)(row.unit + j), ACCEL_CODEC_SEED_MODEL);
        const bool rises = end ? low[k] == ACCEL_CODEC_SCALE : low[k] <= high[k];
        if (!rises || (bin == 0 && low[k] != 0)) {
          coding_report(state, CODING_FOUND_MODEL, row.number + lane);
        }
      }
      lane += lanes_on;
      bin += entries_on;
      if (bin >= entries) {
        bin -= entries;
        ++lane;
      }
    }
  }
  if (row.lanes == ACCEL_CODEC_LANES) return;
  for (accel_u32 i = thread; i < entries * ACCEL_CODEC_LANES; i += threads) {
    const accel_u32 l = i % ACCEL_CODEC_LANES, b = i / ACCEL_CODEC_LANES;
    if (l < row.lanes) continue;
    pairs[b * CODING_PITCH + l] = (accel_u32)ACCEL_CODEC_SCALE << (b == 0 ? 16 : 0);
  }
}

#endif
