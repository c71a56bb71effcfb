/* Ranges of channels as integers, so that atomics can join them. */
#ifndef ACCEL_CUDA_COLUMN_KEYS_H
#define ACCEL_CUDA_COLUMN_KEYS_H

#include "chunks.h"
#include "codes.h"
#include "segments.h"

namespace accel_codes {

constexpr unsigned kKeys = kShifted ? 2 : 1; /* of a channel: the highest, and the lowest */

/* Floats as integers in the same order, above 0: the largest of none is 0. */
ACCEL_DEVICE accel_u32 key_of(float x) {
  const accel_u32 bits = accel_bits_of(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
ACCEL_DEVICE float of_key(accel_u32 key) {
  return accel_of_bits(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key);
}

/* The largest integer of the highest values, and of the lowest ones turned round: 0 of none. */
ACCEL_DEVICE Range range_of_keys(accel_u32 high, accel_u32 low) {
  if constexpr (!kShifted) return {0.0f, accel_of_bits(high)};
  return high == 0 ? nothing() : Range{of_key(~low), of_key(high)};
}

/* Joins a range to the key of its channel; the key of the lowest is `apart` further on. */
ACCEL_DEVICE void join_keys(const Range& range, accel_u32* key, accel_u32 apart) {
  if (kShifted ? range.low > range.high : range.high == 0.0f) return;
  accel_atomic_max(key, kShifted ? key_of(range.high) : accel_bits_of(range.high));
  if constexpr (kShifted) accel_atomic_max(key + apart, ~key_of(range.low));
}

/* The ranges of a chunk's channels; false if any value was not finite. */
ACCEL_DEVICE bool find_channel_ranges(const WordRange* words, bool some, Range* ranges) {
  bool finite = true;
  ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) {
    Range both[kPerWord];
    ranges_of(words[w], some, both);
    ACCEL_UNROLL for (unsigned i = 0; i < kOfWord; ++i) {
      ranges[w * kOfWord + i] = both[i];
      finite = finite && all_finite(both[i]);
    }
  }
  return finite;
}

/* Channel `i` of a chunk. */
ACCEL_DEVICE void write_scale(const accel_column_args& args, const accel_place& place,
                              accel_u32 chunk, accel_u32 i, const Scale& scale) {
  const accel_i64 channel = (accel_i64)chunk * kChannels + i;
  *(float*)(place.at[ACCEL_SCALES] + channel * args.channel_step[ACCEL_SCALES]) = scale.scale;
  if constexpr (kShifted) {
    *(float*)(place.at[ACCEL_OFFSETS] + channel * args.channel_step[ACCEL_OFFSETS]) = scale.offset;
  }
}

}  // namespace accel_codes

#endif
