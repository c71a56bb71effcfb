/* What one thread takes of a row at once: a vector of channels, or where they are scattered a single
 * one (two, if codes are packed).
 *
 * Defines: those of codes.h, and ACCEL_VECTOR, bytes of a chunk's values: 16, 8 or 4; 0 if they are
 * scattered. */
#ifndef ACCEL_CUDA_CHUNKS_H
#define ACCEL_CUDA_CHUNKS_H

#include "codes.h"

#ifndef ACCEL_VECTOR
#define ACCEL_VECTOR 16
#endif

namespace accel_codes {

constexpr bool kElements = ACCEL_VECTOR == 0;
constexpr unsigned kChannels = kElements ? (kPacked ? 2 : 1) : ACCEL_VECTOR / kValueSize;
constexpr unsigned kWords = kElements ? kChannels : ACCEL_VECTOR / 4; /* of a chunk */
constexpr unsigned kOfWord = kElements ? 1 : kPerWord;                /* channels */
constexpr unsigned kCodeWords = (code_bytes(kChannels) + 3) / 4;
using Chunk = accel_words<kWords>;

/* Of scattered channels a word holds one: float32, or a half in both of its halves. */
ACCEL_DEVICE Chunk load_chunk(const char* values, accel_i64 step, accel_u32 chunk) {
  if constexpr (!kElements) {
    return accel_load_words<kWords>(values + (accel_i64)chunk * ACCEL_VECTOR);
  } else {
    Chunk v;
    for (unsigned i = 0; i < kWords; ++i) {
      const char* const at = values + ((accel_i64)chunk * kChannels + i) * step;
      if constexpr (kValueSize == 4) {
        v.word[i] = *(const accel_u32*)at;
      } else {
        v.word[i] = *(const accel_u16*)at * 0x10001u;
      }
    }
    return v;
  }
}

ACCEL_DEVICE void to_floats(const Chunk& v, float* x) {
  ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) {
    if constexpr (kElements && kValueSize == 2) {
      float both[2];
      accel_unpack<kValue>(v.word[w], both);
      x[w] = both[1];
    } else {
      accel_unpack<kValue>(v.word[w], x + w * kOfWord);
    }
  }
}

ACCEL_DEVICE void add_chunk(WordRange* range, const Chunk& v) {
  ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) {
    add_word(range, v.word[w]);
  }
}

/* The values of a chunk, rounded to their kind. */
ACCEL_DEVICE void store_values(char* values, accel_i64 step, accel_u32 chunk, const float* x) {
  if constexpr (!kElements) {
    Chunk v;
    ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) v.word[w] = accel_pack<kValue>(x + w * kOfWord);
    accel_store_words<kWords>(values + (accel_i64)chunk * ACCEL_VECTOR, v);
  } else {
    for (unsigned i = 0; i < kChannels; ++i) {
      accel_write<kValue>(x[i], values + ((accel_i64)chunk * kChannels + i) * step);
    }
  }
}

ACCEL_DEVICE accel_i64 chunk_of_codes(accel_i64 step, accel_u32 chunk) {
  return kElements ? chunk * step : (accel_i64)chunk * code_bytes(kChannels);
}

ACCEL_DEVICE void store_chunk(char* codes, accel_i64 step, accel_u32 chunk, const accel_u32* made) {
  store_codes<kChannels>(codes + chunk_of_codes(step, chunk), made);
}

}  // namespace accel_codes

#endif
