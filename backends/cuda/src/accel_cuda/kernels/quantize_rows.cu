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
  if (!is_fast(scale)) {
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

// Short segments: a lane takes a chunk of each of kEach segments, of which it finds one's scale.
constexpr unsigned kEach = 4, kEachLog = 2;

ACCEL_DEVICE void quantize_short(const accel_segment_args& args) {
  const accel_u32 log = args.lanes_log, lanes = 1u << log, at_once = 32u >> log;
  const accel_u32 lane = accel_lane(), chunk = lane & (lanes - 1);
  const accel_u32 warp = (accel_block_x() * accel_threads() + accel_thread()) / 32;
  const accel_u32 first = warp * (kEach * at_once) + (lane >> log);
  const auto has = [&](accel_u32 k) {
    return chunk < args.chunks && first + k * at_once < args.segments;
  };
  const auto place_of = [&](accel_u32 k) {
    return accel_place_of(args.base, args.dim, args.dims, has(k) ? first + k * at_once : 0);
  };
  Chunk held[kEach] = {};
  ACCEL_UNROLL for (unsigned k = 0; k < kEach; ++k) {
    if (has(k)) held[k] = load_chunk(place_of(k).at[ACCEL_VALUES], args.value_step, chunk);
  }
  WordRange words[kEach];
  ACCEL_UNROLL for (unsigned k = 0; k < kEach; ++k) {
    words[k] = no_words();
    if (has(k)) add_chunk(&words[k], held[k]);
  }
  // Lanes trade halves of what they have twice; the rest they share.
  const bool upper = (chunk >> (log - 1) & 1u) != 0, upper_2 = (chunk >> (log - 2) & 1u) != 0;
  WordRange mine = traded(traded(words[0], words[2], upper, lanes / 2),
                          traded(words[1], words[3], upper, lanes / 2), upper_2, lanes / 4);
  for (accel_u32 apart = lanes / 8; apart > 0; apart /= 2) mine = traded(mine, mine, false, apart);
  const accel_u32 own = chunk >> (log - kEachLog);  // the segment whose scale this lane finds
  const accel_u32 segment = first + own * at_once;
  Range range = range_of(mine, segment < args.segments);
  const bool finite = all_finite(range);
  // Rarely: the values are read again.
  const auto again = [&](accel_u32 k, auto body) {
    const accel_place place = place_of(k);
    float x[kChannels] = {};
    if (has(k)) to_floats(load_chunk(place.at[ACCEL_VALUES], args.value_step, chunk), x);
    body(x, place.at[ACCEL_CODES]);
  };
  if (!accel_all(finite)) {
    ACCEL_NO_UNROLL for (unsigned k = 0; k < kEach; ++k) {
      Range seen = nothing();
      again(k, [&](const float* x, char*) {
        for (unsigned i = 0; has(k) && i < kChannels; ++i) seen = with_finite(seen, x[i]);
      });
      seen = reduced({chunk, lanes, false}, seen, nullptr);
      if (k == own && !finite) range = seen;
    }
  }
  const Scale scale = scale_of(range, args.spec.steps, finite);
  if (segment < args.segments && (chunk & (lanes / kEach - 1)) == 0) {
    const accel_place place = accel_place_of(args.base, args.dim, args.dims, segment);
    *(float*)place.at[ACCEL_SCALES] = scale.scale;
    if constexpr (kShifted) *(float*)place.at[ACCEL_OFFSETS] = scale.offset;
  }
  const bool fast = accel_all(is_fast(scale));
  accel_u32 made[kCodeWords];
  if (!fast) {
    ACCEL_NO_UNROLL for (unsigned k = 0; k < kEach; ++k) {
      const accel_u32 from = lane - chunk + (k << (log - kEachLog));
      Scale given;
      given.scale = accel_shuffle(scale.scale, from);
      given.offset = accel_shuffle(scale.offset, from);
      again(k, [&](const float* x, char* to) {
        encode_any<kChannels, 0>(x, &given, args.spec, made);
        if (has(k)) store_chunk(to, args.code_step, chunk, made);
      });
    }
    return;
  }
  ACCEL_UNROLL for (unsigned k = 0; k < kEach; ++k) {
    const accel_u32 from = lane - chunk + (k << (log - kEachLog));
    Scale given;
    if constexpr (kShifted) given.offset = accel_shuffle(scale.offset, from);
    given.reciprocal = accel_shuffle(scale.reciprocal, from);
    if constexpr (kFloat) {
      given.scale = accel_shuffle(scale.scale, from);
    } else {
      given.rest = accel_shuffle(scale.rest, from);
    }
    float x[kChannels];
    to_floats(held[k], x);
    encode_fast<kChannels, 0>(x, &given, args.spec.zero, made);
    if (has(k)) store_chunk(place_of(k).at[ACCEL_CODES], args.code_step, chunk, made);
  }
}

}  // namespace

ACCEL_KERNEL_BOUNDS(256, 4, quantize_rows_1, accel_segment_args, args) { quantize_few<1>(args); }
ACCEL_KERNEL_BOUNDS(256, 4, quantize_rows_2, accel_segment_args, args) { quantize_few<2>(args); }
ACCEL_KERNEL_BOUNDS(256, 4, quantize_rows_4, accel_segment_args, args) { quantize_few<4>(args); }

ACCEL_KERNEL_BOUNDS(256, 4, quantize_rows_short, accel_segment_args, args) {
  quantize_short(args);
}

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
