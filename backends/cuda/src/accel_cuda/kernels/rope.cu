// Turning the pairs of cached keys: rope_reposition.
//
// Defines: ACCEL_VALUE, the keys' kind; ACCEL_INTERLEAVED, 0 or 1; ACCEL_VECTOR, bytes that a load
// takes, 16, 8, 4, or 0 for one element at a time wherever it lies.
//
// A block computes the cosines and sines of its tokens once, into shared memory, while the first
// keys are on their way; then its threads turn the heads of all its layers. Nothing is read or
// written of tokens that stay.
#include "cos_sin.h"
#include "fault.h"
#include "numbers.h"
#include "quotient.h"
#include "rope_args.h"

#ifndef ACCEL_ROPE_ITEMS
#define ACCEL_ROPE_ITEMS 2
#endif
#ifndef ACCEL_ROPE_AHEAD
#define ACCEL_ROPE_AHEAD 1
#endif
#ifndef ACCEL_ROPE_BLOCKS
#define ACCEL_ROPE_BLOCKS 4
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
constexpr unsigned kItems = ACCEL_ROPE_ITEMS;  // chunks that a thread has on their way

struct Token {
  accel_i64 offset;
  int from, to;
};

struct Item {
  char* at[kLoads];
  accel_words<kWords> held[kLoads];
  float element[2];
  unsigned turn;  // index of its first pair among the block's cosines
  bool moves;
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

// Token `n` of the launch; one that stays has `from` equal to `to`.
ACCEL_DEVICE Token find_token(const accel_rope_args& args, accel_u32 n) {
  Token token = {0, 0, 0};
  if (n >= args.tokens) return token;
  if (args.listed) {
    const accel_rope_token* const list =
        args.list != 0 ? accel_pointer<const accel_rope_token>(args.list) : args.here;
    return {list[n].offset, list[n].from, list[n].to};
  }
  accel_i64 old_at = 0, new_at = 0;
  if (args.slots.data != 0) {
    const accel_i64 slot = read_index(args.slots, n * args.slots.stride);
    if (slot < 0) return token;
    if (slot >= args.units) {
      accel_report_fault(args.fault, ACCEL_FAULT_SLOT, ACCEL_FAULT_ARG_SLOTS, slot, args.units, n);
      return token;
    }
    accel_i64 block = slot / args.block.by;
    if (slot < 0x7fffffff) block = accel_divide((accel_u32)slot, args.block);
    token.offset = block * args.block_stride + (slot - block * args.block.by) * args.slot_stride;
    old_at = n * args.old_positions.stride;
    new_at = n * args.new_positions.stride;
  } else {
    accel_u32 rest = n;
    for (int d = args.dims - 1; d >= 0; --d) {
      const accel_rope_dim& dim = args.dim[d];
      const accel_u32 outer = d == 0 ? 0 : accel_divide(rest, dim.extent);
      const accel_i64 index = rest - outer * dim.extent.by;
      token.offset += index * dim.step;
      old_at += index * dim.old_step;
      new_at += index * dim.new_step;
      rest = outer;
    }
  }
  const accel_i64 from = read_index(args.old_positions, old_at);
  const accel_i64 to = read_index(args.new_positions, new_at);
  const bool known = is_position(args, from, ACCEL_FAULT_ARG_OLD, n);
  if (!is_position(args, to, ACCEL_FAULT_ARG_NEW, n) || !known) return token;
  token.from = (int)from;
  token.to = (int)to;
  return token;
}

ACCEL_DEVICE double read_table(const accel_rope_args& args, const char* at) {
  if (args.table_kind == ACCEL_F32) return accel_read<ACCEL_F32>(at);
  if (args.table_kind == ACCEL_F16) return accel_read<ACCEL_F16>(at);
  return accel_read<ACCEL_BF16>(at);
}

ACCEL_DEVICE void find_turn(const accel_rope_args& args, const Token& token, accel_u32 pair,
                            float* c, float* s) {
  if (args.table == 0) {
    const double frequency = args.inv_freq != 0
                                 ? accel_pointer<const double>(args.inv_freq)[pair]
                                 : args.frequency[pair];
    accel_cos_sin((double)((accel_i64)token.to - token.from) * frequency, c, s);
    return;
  }
  const char* const cosines = accel_pointer<const char>(args.table) + pair * args.table_step;
  const char* const sines = cosines + args.pairs * args.table_step;
  const double co = read_table(args, cosines + token.from * args.table_row);
  const double so = read_table(args, sines + token.from * args.table_row);
  const double cn = read_table(args, cosines + token.to * args.table_row);
  const double sn = read_table(args, sines + token.to * args.table_row);
  const double over = 1.0 / (co * co + so * so);
  *c = (float)((cn * co + sn * so) * over);
  *s = (float)((sn * co - cn * so) * over);
}

ACCEL_DEVICE accel_i64 channel_offset(const accel_rope_args& args, accel_u32 channel) {
  const accel_u32 outer = args.outer_stride == 0 ? 0 : channel / args.inner;
  return outer * args.outer_stride + (channel - outer * args.inner) * args.stride;
}

// Chunk `n` of the block's tile in the layer at `base`, and its loads.
ACCEL_DEVICE void fetch(const accel_rope_args& args, const Token* tokens, char* base,
                        accel_u32 first_chunk, accel_u32 chunks, accel_u32 padded, accel_u32 n,
                        Item* item) {
  item->moves = n < args.tile * args.heads.by * args.piece_by.by;
  if (!item->moves) return;
  accel_u32 token, head, chunk;
  if (args.tokens_first) {
    const accel_u32 row = accel_divide(n, args.tile_by);
    token = n - row * args.tile_by.by;
    head = accel_divide(row, args.piece_by);
    chunk = row - head * args.piece_by.by;
  } else {
    const accel_u32 row = accel_divide(n, args.piece_by);
    chunk = n - row * args.piece_by.by;
    token = accel_divide(row, args.heads);
    head = row - token * args.heads.by;
  }
  const Token& known = tokens[token];
  item->moves = known.from != known.to && chunk < chunks;
  if (!item->moves) return;
  item->turn = token * padded + chunk * kPairs;
  char* const at = base + known.offset + head * args.head_stride;
  const accel_u32 pair = (first_chunk + chunk) * kPairs;
  const accel_u32 x = args.first + (kInterleaved ? 2 * pair : pair);
  item->at[0] = at + channel_offset(args, x);
  if constexpr (kLoads == 2) {
    item->at[1] = at + channel_offset(args, kInterleaved ? x + 1 : x + args.pairs);
  }
  for (unsigned i = 0; i < kLoads; ++i) {
    if constexpr (kElements) {
      item->element[i] = accel_read<kKind>(item->at[i]);
    } else {
      item->held[i] = accel_load_words<kWords>(item->at[i]);
    }
  }
}

// (x, y) turned: (x c - y s, x s + y c).
ACCEL_DEVICE void turn_pair(float* x, float* y, float c, float s) {
  const float turned = accel_fma(*x, c, -(*y * s));
  *y = accel_fma(*x, s, *y * c);
  *x = turned;
}

ACCEL_DEVICE void turn(const Item& item, const float* cosines, const float* sines) {
  if (!item.moves) return;
  if constexpr (kElements) {
    float x = item.element[0], y = item.element[1];
    turn_pair(&x, &y, cosines[item.turn], sines[item.turn]);
    accel_write<kKind>(x, item.at[0]);
    accel_write<kKind>(y, item.at[1]);
  } else {
    constexpr unsigned kOfWord = accel_number<kKind>::per_word;
    float c[kPairs], s[kPairs], x[kLoads * kLoaded];
    if constexpr (kPairs % 4 == 0) {
      ACCEL_UNROLL for (unsigned i = 0; i < kPairs; i += 4) {
        const accel_words<4> cs = accel_load_words<4>(cosines + item.turn + i);
        const accel_words<4> ss = accel_load_words<4>(sines + item.turn + i);
        ACCEL_UNROLL for (unsigned k = 0; k < 4; ++k) {
          c[i + k] = accel_of_bits(cs.word[k]);
          s[i + k] = accel_of_bits(ss.word[k]);
        }
      }
    } else {
      ACCEL_UNROLL for (unsigned i = 0; i < kPairs; ++i) {
        c[i] = cosines[item.turn + i];
        s[i] = sines[item.turn + i];
      }
    }
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
      accel_store_words<kWords>(item.at[i], words);
    }
  }
}

ACCEL_DEVICE char* base_of(const accel_rope_args& args, accel_u32 layer) {
  return accel_pointer<char>(args.base != 0 ? args.base
                                            : accel_pointer<const accel_u64>(args.bases)[layer]);
}

}  // namespace

// Grid: tiles of tokens, groups of layers, pieces of heads. Shared: tile tokens, then their cosines
// and sines, piece * kPairs a token, rounded up to 4 each.
ACCEL_KERNEL_BOUNDS(256, ACCEL_ROPE_BLOCKS, rope_reposition, accel_rope_args, args) {
  ACCEL_DYNAMIC_SHARED(Token, tokens);
  const accel_u32 padded = (args.piece * kPairs + 3) & ~3u;
  float* const cosines = reinterpret_cast<float*>(tokens + args.tile);
  float* const sines = cosines + args.tile * padded;
  const accel_u32 first_token = accel_block_x() * args.tile;
  const accel_u32 first_chunk = accel_block_z() * args.piece;
  const accel_u32 chunks = accel_min(args.piece, args.chunks - first_chunk);
  const accel_u32 pairs = chunks * kPairs;
  const accel_u32 first_layer = accel_block_y() * args.layers_each;
  const accel_u32 last_layer = accel_min(first_layer + args.layers_each, args.layers);
  const accel_u32 items = args.tile * args.heads.by * args.piece_by.by;

  for (accel_u32 t = accel_thread(); t < args.tile; t += accel_threads()) {
    tokens[t] = find_token(args, first_token + t);
  }
  accel_sync_threads();
  Item item[kItems];
  char* base = base_of(args, first_layer);
  if (ACCEL_ROPE_AHEAD) {
    ACCEL_UNROLL for (unsigned k = 0; k < kItems; ++k) {
      fetch(args, tokens, base, first_chunk, chunks, padded, accel_thread() + k * accel_threads(),
            &item[k]);
    }
  }
  for (accel_u32 n = accel_thread(); n < args.tile * pairs; n += accel_threads()) {
    const accel_u32 token = n / pairs, pair = n - token * pairs;
    if (tokens[token].from == tokens[token].to) continue;
    find_turn(args, tokens[token], first_chunk * kPairs + pair, &cosines[token * padded + pair],
              &sines[token * padded + pair]);
  }
  accel_sync_threads();
  if (!ACCEL_ROPE_AHEAD) {
    ACCEL_UNROLL for (unsigned k = 0; k < kItems; ++k) {
      fetch(args, tokens, base, first_chunk, chunks, padded, accel_thread() + k * accel_threads(),
            &item[k]);
    }
  }
  for (accel_u32 layer = first_layer;;) {
    for (accel_u32 n = accel_thread();;) {
      ACCEL_UNROLL for (unsigned k = 0; k < kItems; ++k) turn(item[k], cosines, sines);
      n += kItems * accel_threads();
      if (n >= items) break;
      ACCEL_UNROLL for (unsigned k = 0; k < kItems; ++k) {
        fetch(args, tokens, base, first_chunk, chunks, padded, n + k * accel_threads(), &item[k]);
      }
    }
    if (++layer >= last_layer) break;
    base = base_of(args, layer);
    ACCEL_UNROLL for (unsigned k = 0; k < kItems; ++k) {
      fetch(args, tokens, base, first_chunk, chunks, padded,
            accel_thread() + k * accel_threads(), &item[k]);
    }
  }
}
