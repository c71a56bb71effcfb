/* Models from symbols: a block counts 32 channels of a layer, then makes their counts into
 * cumulative frequencies. */
#include "coding_common.h"

/* below * shared / total, where below <= total < 2^31 and shared <= 2^14. */
ACCEL_DEVICE accel_u32 coding_start_of(const accel_codec_floors& f, accel_u64 total,
                                       accel_u32 below, accel_u32 used, accel_u32 bin) {
  if (total < 1u << 17) {
    return below * f.shared / (accel_u32)total + f.used * used + f.unused * (bin - used);
  }
  return accel_codec_start(&f, total, below, used, bin);
}

/* Shared memory: counts [bins][32], then rows [32][bins + 1] of 16 bits as they go into the model. */
ACCEL_KERNEL_BOUNDS(256, 4, coding_model, coding_model_args, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, counts);
  ACCEL_SHARED accel_u32 sums[8][32];
  ACCEL_SHARED accel_u32 useds[8][32];
  ACCEL_SHARED accel_u32 word;
  enum { kAhead = 8 };
  const accel_u32 bins = args.bins, entries = bins + 1;
  const accel_u32 lane = accel_lane(), group = accel_group(), groups = accel_threads() / 32;
  accel_u16* const rows = reinterpret_cast<accel_u16*>(counts + bins * 32);
  const accel_u64 parts = (args.channels + 31) / 32;
  for (accel_u64 block = accel_block_x(); block < args.layers * parts; block += accel_grid_x()) {
    const accel_u64 layer = block / parts, first = block % parts * 32;
    const accel_u64 channel = first + lane;
    const bool active = channel < args.channels;
    for (accel_u32 i = accel_thread(); i < bins * 32; i += accel_threads()) counts[i] = 0;
    accel_sync_threads();
    const accel_i64 stride = args.symbols.token_stride;
    const accel_u8* const from = accel_pointer<const accel_u8>(
        args.symbols.data + (accel_u64)((accel_i64)layer * args.symbols.layer_stride +
                                        (accel_i64)channel * args.symbols.channel_stride));
    bool outside = false;
    if (active) {
      for (accel_u64 t = group; t < args.tokens; t += kAhead * groups) {
        accel_u32 symbols[kAhead];
        ACCEL_UNROLL
        for (accel_u32 k = 0; k < kAhead; ++k) {
          const accel_u64 token = t + k * groups;
          symbols[k] = token < args.tokens ? from[(accel_i64)token * stride] : 0x100u;
        }
        ACCEL_UNROLL
        for (accel_u32 k = 0; k < kAhead; ++k) {
          if (symbols[k] < bins) {
            accel_atomic_add(&counts[symbols[k] * 32 + lane], 1u);
          } else if (symbols[k] < 0x100u) {
            outside = true;
          }
        }
      }
      if (outside) { /* say where: the tokens of this thread once more */
        for (accel_u64 t = group; t < args.tokens; t += groups) {
          if (from[(accel_i64)t * stride] >= bins) {
            coding_report(args.state, CODING_FOUND_OUTSIDE,
                          (layer * args.tokens + t) * args.channels + channel);
            break;
          }
        }
      }
    }
    accel_sync_threads();
    /* Each group adds up a part of the bins, then knows what lies below its part. */
    const accel_u32 begin = bins * group / groups, end = bins * (group + 1) / groups;
    accel_u32 sum = 0, used = 0;
    for (accel_u32 b = begin; b < end; ++b) {
      const accel_u32 n = counts[b * 32 + lane];
      sum += n;
      used += n != 0;
    }
    sums[group][lane] = sum;
    useds[group][lane] = used;
    accel_sync_threads();
    accel_u32 below = 0, below_used = 0, all_used = 0;
    for (accel_u32 g = 0; g < groups; ++g) {
      if (g < group) below += sums[g][lane];
      if (g < group) below_used += useds[g][lane];
      all_used += useds[g][lane];
    }
    const accel_codec_floors floors =
        accel_codec_choose_floors(args.tokens, bins, all_used, args.exact != 0);
    for (accel_u32 b = begin; b < end; ++b) {
      const accel_u32 n = counts[b * 32 + lane];
      const accel_u32 start =
          args.tokens == 0 ? ACCEL_CODEC_SCALE * b / bins
                           : coding_start_of(floors, args.tokens, below, below_used, b);
      rows[lane * entries + b] = (accel_u16)start;
      below += n;
      below_used += n != 0;
    }
    if (group == 0) rows[lane * entries + bins] = ACCEL_CODEC_SCALE;
    accel_sync_threads();
    const accel_u32 lanes = (accel_u32)accel_min(args.channels - first, (accel_u64)32);
    accel_u16* const to =
        accel_pointer<accel_u16>(args.model) + (layer * args.channels + first) * entries;
    for (accel_u32 i = accel_thread(); i < lanes * entries; i += accel_threads()) to[i] = rows[i];
    accel_sync_threads();
  }
  if (!coding_is_last_block(args.state, &word) || accel_thread() != 0) return;
  const accel_u64 key = coding_first_finding(args.state);
  if (key == CODING_NO_FINDING) return;
  const accel_u64 where = CODING_KEY_WHERE(key), row = where / args.channels;
  const accel_i64 at = (accel_i64)(row / args.tokens) * args.symbols.layer_stride +
                       (accel_i64)(row % args.tokens) * args.symbols.token_stride +
                       (accel_i64)(where % args.channels) * args.symbols.channel_stride;
  coding_tell(args.fault, key, bins,
              *accel_pointer<const accel_u8>(args.symbols.data + (accel_u64)at), args.tokens,
              args.channels);
}
