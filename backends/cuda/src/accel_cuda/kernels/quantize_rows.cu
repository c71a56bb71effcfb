// Quantising with a scale for each token, or for each group of its channels.
//
// Defines: those of chunks.h.
//
// A segment, the channels that share a scale, is read once: it stays in the registers of the lanes
// that share it until its range is known. Of segments longer than that the rest is read again.
#include "chunks.h"
#include "codes.h"
#include "device.h"
#include "segments.h"

namespace {

using namespace accel_codes;

// The lanes that share a segment.
struct Lanes {
  accel_u32 lane, count;
  bool whole_block;
};

ACCEL_DEVICE Range reduced(const Lanes& lanes, Range range, Range* shared) {
  const accel_u32 most = lanes.whole_block ? 32 : lanes.count;
  for (accel_u32 apart = most / 2; apart > 0; apart /= 2) {
    Range other;
    other.high = accel_shuffle_xor(range.high, apart);
    other.low = kShifted ? accel_shuffle_xor(range.low, apart) : 0.0f;
    range = joined(range, other);
  }
  if (!lanes.whole_block) return range;
  accel_sync_threads();
  if (accel_lane() == 0) shared[accel_group()] = range;
  accel_sync_threads();
  range = shared[0];
  for (accel_u32 g = 1; g < accel_threads() / 32; ++g) range = joined(range, shared[g]);
  return range;
}

template <unsigned K>
ACCEL_DEVICE void quantize_segment(const accel_segment_args& args, const Lanes& lanes,
                                   accel_u32 segment, Range* shared) {
  const bool exists = segment < args.segments;
  const accel_place place =
      accel_place_of(args.base, args.dim, args.dims, exists ? segment : 0);
  const char* const values = place.at[ACCEL_VALUES];
  char* const codes = place.at[ACCEL_CODES];
  const accel_u32 chunks = exists ? args.chunks : 0;

  Chunk held[K] = {};
  WordRange words = no_words();
  ACCEL_UNROLL for (unsigned k = 0; k < K; ++k) {
    const accel_u32 chunk = lanes.lane + k * lanes.count;
    if (chunk < chunks) held[k] = load_chunk(values, args.value_step, chunk);
  }
  ACCEL_UNROLL for (unsigned k = 0; k < K; ++k) {
    if (lanes.lane + k * lanes.count < chunks) add_chunk(&words, held[k]);
  }
  for (accel_u32 chunk = lanes.lane + K * lanes.count; chunk < chunks; chunk += lanes.count) {
    add_chunk(&words, load_chunk(values, args.value_step, chunk));
  }
  Range range = reduced(lanes, range_of(words, lanes.lane < chunks), shared);
  const bool finite = all_finite(range);
  // Other lanes of the group may need the second look: shuffles take all of them.
  const bool again = lanes.whole_block ? !finite : accel_any(!finite);
  if (again) {
    Range seen = nothing();
    for (accel_u32 chunk = lanes.lane; chunk < chunks; chunk += lanes.count) {
      float x[kChannels];
      to_floats(load_chunk(values, args.value_step, chunk), x);
      for (unsigned i = 0; i < kChannels; ++i) seen = with_finite(seen, x[i]);
    }
    seen = reduced(lanes, seen, shared);
    if (!finite) range = seen;
  }
  const Scale scale = scale_of(range, args.spec.steps, finite);
  if (exists && lanes.lane == 0) {
    *(float*)place.at[ACCEL_SCALES] = scale.scale;
    if constexpr (kShifted) *(float*)place.at[ACCEL_OFFSETS] = scale.offset;
  }
  accel_u32 made[kCodeWords];
  float x[kChannels];
  if (!scale.fast) {
    for (accel_u32 chunk = lanes.lane; chunk < chunks; chunk += lanes.count) {
      to_floats(load_chunk(values, args.value_step, chunk), x);
      encode_any<kChannels, 0>(x, &scale, args.spec, made);
      store_chunk(codes, args.code_step, chunk, made);
    }
    return;
  }
  ACCEL_UNROLL for (unsigned k = 0; k < K; ++k) {
    const accel_u32 chunk = lanes.lane + k * lanes.count;
    if (chunk >= chunks) continue;
    to_floats(held[k], x);
    encode_fast<kChannels, 0>(x, &scale, args.spec.zero, made);
    store_chunk(codes, args.code_step, chunk, made);
  }
  for (accel_u32 chunk = lanes.lane + K * lanes.count; chunk < chunks; chunk += lanes.count) {
    to_floats(load_chunk(values, args.value_step, chunk), x);
    encode_fast<kChannels, 0>(x, &scale, args.spec.zero, made);
    store_chunk(codes, args.code_step, chunk, made);
  }
}

template <unsigned K>
ACCEL_DEVICE void quantize_few(const accel_segment_args& args) {
  const accel_u32 log = args.lanes_log;
  const Lanes lanes = {accel_lane() & ((1u << log) - 1u), 1u << log, false};
  const accel_u32 segment = (accel_block_x() * accel_threads() + accel_thread()) >> log;
  quantize_segment<K>(args, lanes, segment, nullptr);
}

}  // namespace

ACCEL_KERNEL_BOUNDS(256, 4, quantize_rows_1, accel_segment_args, args) { quantize_few<1>(args); }
ACCEL_KERNEL_BOUNDS(256, 4, quantize_rows_2, accel_segment_args, args) { quantize_few<2>(args); }
ACCEL_KERNEL_BOUNDS(256, 4, quantize_rows_4, accel_segment_args, args) { quantize_few<4>(args); }

// A block for each segment.
ACCEL_KERNEL_BOUNDS(1024, 1, quantize_rows_block, accel_segment_args, args) {
  ACCEL_SHARED Range shared[32];
  quantize_segment<4>(args, {accel_thread(), accel_threads(), true}, accel_block_x(), shared);
}

// Packed codes in groups of an odd size share bytes: a segment is two neighbouring groups, and one
// thread's work. args.length: channels of a group.
ACCEL_KERNEL_BOUNDS(256, 4, quantize_rows_odd, accel_segment_args, args) {
  const accel_u32 segment = accel_block_x() * accel_threads() + accel_thread();
  if (segment >= args.segments) return;
  if constexpr (kPacked && kElements) {
    const accel_place place = accel_place_of(args.base, args.dim, args.dims, segment);
    const char* const values = place.at[ACCEL_VALUES];
    Scale scales[2];
    for (accel_u32 g = 0; g < 2; ++g) {
      Range range = nothing();
      for (accel_u32 i = 0; i < args.length; ++i) {
        const accel_i64 channel = g * args.length + i;
        range = with_finite(range, accel_read<kValue>(values + channel * args.value_step));
      }
      scales[g] = scale_of(range, args.spec.steps, false);
      *(float*)(place.at[ACCEL_SCALES] + g * args.scale_step) = scales[g].scale;
      if constexpr (kShifted) {
        *(float*)(place.at[ACCEL_OFFSETS] + g * args.offset_step) = scales[g].offset;
      }
    }
    for (accel_u32 byte = 0; byte < args.length; ++byte) {
      accel_u32 code = 0;
      for (accel_u32 i = 0; i < 2; ++i) {
        const accel_u32 channel = 2 * byte + i;
        const float x = accel_read<kValue>(values + channel * args.value_step);
        const Scale& scale = scales[channel >= args.length ? 1 : 0];
        code |= (encode_one(x, scale, args.spec) & 15u) << 4 * i;
      }
      place.at[ACCEL_CODES][byte] = (char)code;
    }
  }
}
