// Turning the pairs of cached keys: rope_reposition.
//
// Defines: ACCEL_VALUE, the keys' kind; ACCEL_INTERLEAVED, 0 or 1; ACCEL_VECTOR, bytes that a load
// takes, 16, 8, 4, or 0 for one element at a time wherever it lies.
//
// A thread turns one chunk of a token in its share of the heads and in all the block's layers, with
// the cosines and sines of its pairs in registers. The block computes these once for every token and
// pair, while the first keys are on their way; or, where no two threads have the same ones, each its
// own, without waiting for the others. Tokens that stay are not written.
#include "cos_sin.h"
#include "fault.h"
#include "numbers.h"
#include "quotient.h"
#include "rope_args.h"

#ifndef ACCEL_ROPE_ITEMS
#define ACCEL_ROPE_ITEMS 2  // chunks that a thread has on their way
#endif
#ifndef ACCEL_ROPE_BLOCKS
#if ACCEL_PTX(1000)
#define ACCEL_ROPE_BLOCKS 3  // four would spill
#else
#define ACCEL_ROPE_BLOCKS 4
#endif
#endif

#ifndef ACCEL_VALUE
#define ACCEL_VALUE ACCEL_BF16
#endif
#ifndef ACCEL_INTERLEAVED
#define ACCEL_INTERLEAVED 0
#endif
#ifndef ACCEL_VECTOR
#define ACCEL_VECTOR 16
#endif

namespace {

constexpr int kKind = ACCEL_VALUE;
constexpr bool kInterleaved = ACCEL_INTERLEAVED != 0;
constexpr bool kElements = ACCEL_VECTOR == 0;
constexpr unsigned kSize = accel_number<kKind>::size;
constexpr unsigned kWords = kElements ? 1 : ACCEL_VECTOR / 4;
constexpr unsigned kLoaded = kElements ? 1 : ACCEL_VECTOR / kSize;  // elements of a load
constexpr unsigned kLoads = kInterleaved && !kElements ? 1 : 2;     // of a chunk
constexpr unsigned kPairs = kElements ? 1 : kInterleaved ? kLoaded / 2 : kLoaded;  // of a chunk
constexpr unsigned kItems = ACCEL_ROPE_ITEMS;

struct Move {
  accel_i32 from, to;
};

struct Item {
  char* at;
  accel_words<kWords> held[kLoads];
  float element[2];
};

ACCEL_DEVICE accel_i64 read_index(const accel_rope_list& list, accel_i64 at) {
  return list.wide ? accel_pointer<const accel_i64>(list.data)[at]
                   : accel_pointer<const accel_i32>(list.data)[at];
}

ACCEL_DEVICE bool is_position(const accel_rope_args& args, accel_i64 position, accel_u32 argument,
                              accel_u32 token) {
  if (position >= 0 && position < args.positions) return true;
  accel_report_fault(args.fault, ACCEL_FAULT_POSITION, argument, position, args.positions, token);
  return false;
}

// Where token `n` of the launch starts in a layer, and where its positions are in their lists. False
// for padding, and for slots out of range.
ACCEL_DEVICE bool find_token(const accel_rope_args& args, accel_u32 n, accel_i64* offset,
                             accel_i64* old_at, accel_i64* new_at) {
  *offset = *old_at = *new_at = 0;
  if (n >= args.tokens) return false;
  if (args.listed) {
    const accel_rope_token* const list =
        args.list != 0 ? accel_pointer<const accel_rope_token>(args.list) : args.here;
    *offset = list[n].offset;
    return true;
  }
  if (args.slots.data != 0) {
    const accel_i64 slot = read_index(args.slots, n * args.slots.stride);
    if (slot < 0) return false;
    if (slot >= args.units) {
      accel_report_fault(args.fault, ACCEL_FAULT_SLOT, ACCEL_FAULT_ARG_SLOTS, slot, args.units, n);
      return false;
    }
    accel_i64 block = slot / args.block.by;
    if (slot < 0x7fffffff) block = accel_divide((accel_u32)slot, args.block);
    *offset = block * args.block_stride + (slot - block * args.block.by) * args.slot_stride;
    *old_at = n * args.old_positions.stride;
    *new_at = n * args.new_positions.stride;
    return true;
  }
  if (args.dims == 1) {  // as a rule
    *offset = n * args.dim[0].step;
    *old_at = n * args.dim[0].old_step;
    *new_at = n * args.dim[0].new_step;
    return true;
  }
  accel_u32 rest = n;
  ACCEL_NO_UNROLL for (int d = args.dims - 1; d >= 0; --d) {
    const accel_rope_dim& dim = args.dim[d];
    const accel_u32 outer = d == 0 ? 0 : accel_divide(rest, dim.extent);
    const accel_i64 index = rest - outer * dim.extent.by;
    *offset += index * dim.step;
    *old_at += index * dim.old_step;
    *new_at += index * dim.new_step;
    rest = outer;
  }
  return true;
}

// From where to where token `n` moves, whose positions are there in their lists; one that must not be
// touched, from 0 to 0.
ACCEL_DEVICE Move read_move(const accel_rope_args& args, accel_u32 n, accel_i64 old_at,
                            accel_i64 new_at) {
  if (args.listed) {
    const accel_rope_token* const list =
        args.list != 0 ? accel_pointer<const accel_rope_token>(args.list) : args.here;
    return {list[n].from, list[n].to};
  }
  const accel_i64 from = read_index(args.old_positions, old_at);
  const accel_i64 to = read_index(args.new_positions, new_at);
  const bool known = is_position(args, from, ACCEL_FAULT_ARG_OLD, n);
  if (!is_position(args, to, ACCEL_FAULT_ARG_NEW, n) || !known || from == to) return {0, 0};
  return {(accel_i32)from, (accel_i32)to};
}

// The same of a token that has not been looked up.
ACCEL_DEVICE Move find_move(const accel_rope_args& args, accel_u32 n) {
  accel_i64 offset, old_at, new_at;
  if (!find_token(args, n, &offset, &old_at, &new_at)) return {0, 0};
  return read_move(args, n, old_at, new_at);
}

ACCEL_DEVICE double read_table(const accel_rope_args& args, const char* at) {
  if (args.table_kind == ACCEL_F32) return accel_read<ACCEL_F32>(at);
  if (args.table_kind == ACCEL_F16) return accel_read<ACCEL_F16>(at);
  return accel_read<ACCEL_BF16>(at);
}

ACCEL_DEVICE void find_turn(const accel_rope_args& args, const Move& move, accel_u32 pair,
                            float* c, float* s) {
  if (args.table == 0) {
    const accel_u64 turns = accel_pointer<const accel_u64>(args.turns)[pair];
    accel_cos_sin(move.to - move.from, turns, c, s);
    return;
  }
  const char* const cosines = accel_pointer<const char>(args.table) + pair * args.table_step;
  const char* const sines = cosines + args.pairs * args.table_step;
  const double co = read_table(args, cosines + move.from * args.table_row);
  const double so = read_table(args, sines + move.from * args.table_row);
  const double cn = read_table(args, cosines + move.to * args.table_row);
  const double sn = read_table(args, sines + move.to * args.table_row);
  const double over = 1.0 / (co * co + so * so);
  *c = (float)((cn * co + sn * so) * over);
  *s = (float)((sn * co - cn * so) * over);
}

ACCEL_DEVICE accel_i64 channel_offset(const accel_rope_args& args, accel_u32 channel) {
  const accel_u32 outer = args.outer_stride == 0 ? 0 : channel / args.inner;
  return outer * args.outer_stride + (channel - outer * args.inner) * args.stride;
}

// `at`: where the chunk's first channels are; the second ones are `apart` bytes further on.
ACCEL_DEVICE void fetch(char* at, accel_i64 apart, Item* item) {
  item->at = at;
  for (unsigned i = 0; i < kLoads; ++i) {
    if constexpr (kElements) {
      item->element[i] = accel_read<kKind>(at + i * apart);
    } else {
      item->held[i] = accel_load_words<kWords>(at + i * apart);
    }
  }
}

// (x, y) turned: (x c - y s, x s + y c).
ACCEL_DEVICE void turn_pair(float* x, float* y, float c, float s) {
  const float turned = accel_fma(*x, c, -(*y * s));
  *y = accel_fma(*x, s, *y * c);
  *x = turned;
}

ACCEL_DEVICE void turn(const Item& item, accel_i64 apart, const float* c, const float* s) {
  if constexpr (kElements) {
    float x = item.element[0], y = item.element[1];
    turn_pair(&x, &y, c[0], s[0]);
    accel_write<kKind>(x, item.at);
    accel_write<kKind>(y, item.at + apart);
  } else {
    constexpr unsigned kOfWord = accel_number<kKind>::per_word;
    float x[kLoads * kLoaded];
    ACCEL_UNROLL for (unsigned i = 0; i < kLoads; ++i) {
      ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) {
        accel_unpack<kKind>(item.held[i].word[w], x + i * kLoaded + w * kOfWord);
      }
    }
    ACCEL_UNROLL for (unsigned i = 0; i < kPairs; ++i) {
      if constexpr (kInterleaved) {
        turn_pair(x + 2 * i, x + 2 * i + 1, c[i], s[i]);
      } else {
        turn_pair(x + i, x + kLoaded + i, c[i], s[i]);
      }
    }
    ACCEL_UNROLL for (unsigned i = 0; i < kLoads; ++i) {
      accel_words<kWords> words;
      ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) {
        words.word[w] = accel_pack<kKind>(x + i * kLoaded + w * kOfWord);
      }
      accel_store_words<kWords>(item.at + i * apart, words);
    }
  }
}

ACCEL_DEVICE char* base_of(const accel_rope_args& args, accel_u32 layer) {
  return accel_pointer<char>(args.base != 0 ? args.base
                                            : accel_pointer<const accel_u64>(args.bases)[layer]);
}

}  // namespace

// Grid: tiles of tokens, groups of layers, pieces of heads. Shared: the moves of `tile` tokens, then
// their cosines and sines, piece * kPairs a token, rounded up to 4 each.
ACCEL_KERNEL_BOUNDS(256, ACCEL_ROPE_BLOCKS, rope_reposition, accel_rope_args, args) {
  ACCEL_DYNAMIC_SHARED(float, cosines);
  const accel_u32 padded = (args.piece * kPairs + 3) & ~3u;
  float* const sines = cosines + args.tile * padded;
  Move* const moves = reinterpret_cast<Move*>(sines + args.tile * padded);
  const accel_u32 first_token = accel_block_x() * args.tile;
  const accel_u32 first_chunk = accel_block_z() * args.piece;
  const accel_u32 chunks = accel_min(args.piece, args.chunks - first_chunk);
  const accel_u32 pairs = chunks * kPairs;

  // What this thread turns.
  const accel_u32 row = accel_divide(accel_thread(), args.inner_by);
  const accel_u32 inner = accel_thread() - row * args.inner_by.by;
  const accel_u32 outer = accel_divide(row, args.middle_by);
  const accel_u32 middle = row - outer * args.middle_by.by;
  const accel_u32 token = args.tokens_first ? inner : outer;
  const accel_u32 chunk = args.tokens_first ? middle : inner;
  const accel_u32 first_head = args.tokens_first ? outer : middle;
  const accel_u32 pair = (first_chunk + chunk) * kPairs;
  const accel_u32 x = args.first + (kInterleaved ? 2 * pair : pair);
  const accel_i64 place = channel_offset(args, x);
  const accel_i64 apart = channel_offset(args, kInterleaved ? x + 1 : x + args.pairs) - place;
  accel_i64 offset = 0, old_at = 0, new_at = 0;
  const bool works = token < args.tile && chunk < chunks && first_head < args.heads &&
                     find_token(args, first_token + token, &offset, &old_at, &new_at);
  offset += place;

  // Its heads, layer by layer: from `head` of `layer` on, kItems at a time.
  accel_u32 layer = accel_block_y() * args.layers_each, head = first_head;
  const accel_u32 last_layer = accel_min(layer + args.layers_each, args.layers);
  char* base = base_of(args, layer);
  Item item[kItems] = {};
  unsigned ready = 0;
  const auto fetch_some = [&] {
    ready = 0;
    ACCEL_UNROLL for (unsigned k = 0; k < kItems; ++k) {
      if (head >= args.heads) {
        if (layer + 1 >= last_layer) break;
        base = base_of(args, ++layer);
        head = first_head;
      }
      fetch(base + offset + head * args.head_stride, apart, &item[k]);
      head += args.head_lanes;
      ready = k + 1;
    }
  };
  if (works) fetch_some();

  const accel_u32 at = token * padded + chunk * kPairs;
  if (args.alone) {
    if (!works) return;
    const Move move = read_move(args, first_token + token, old_at, new_at);
    if (move.from == move.to) return;
    ACCEL_NO_UNROLL for (unsigned i = 0; i < kPairs; ++i) {
      find_turn(args, move, pair + i, &cosines[at + i], &sines[at + i]);
    }
  } else {
    for (accel_u32 t = accel_thread(); t < args.tile; t += accel_threads()) {
      moves[t] = find_move(args, first_token + t);
    }
    accel_sync_threads();
    for (accel_u32 t = accel_group(); t < args.tile; t += accel_threads() / 32) {
      const Move move = moves[t];
      if (move.from == move.to) continue;
      for (accel_u32 p = accel_lane(); p < pairs; p += 32) {
        find_turn(args, move, first_chunk * kPairs + p, &cosines[t * padded + p],
                  &sines[t * padded + p]);
      }
    }
    accel_sync_threads();
    if (!works || moves[token].from == moves[token].to) return;
  }
  float c[kPairs], s[kPairs];
  if constexpr (kPairs % 4 == 0) {
    ACCEL_UNROLL for (unsigned i = 0; i < kPairs; i += 4) {
      const accel_words<4> cs = accel_load_words<4>(cosines + at + i);
      const accel_words<4> ss = accel_load_words<4>(sines + at + i);
      ACCEL_UNROLL for (unsigned k = 0; k < 4; ++k) {
        c[i + k] = accel_of_bits(cs.word[k]);
        s[i + k] = accel_of_bits(ss.word[k]);
      }
    }
  } else {
    ACCEL_UNROLL for (unsigned i = 0; i < kPairs; ++i) {
      c[i] = cosines[at + i];
      s[i] = sines[at + i];
    }
  }
  while (ready > 0) {
    ACCEL_UNROLL for (unsigned k = 0; k < kItems; ++k) {
      if (k < ready) turn(item[k], apart, c, s);
    }
    fetch_some();
  }
}
