/* A stream's words on their way to the lanes that take them. */
#ifndef ACCEL_CUDA_CODING_WORDS_H
#define ACCEL_CUDA_CODING_WORDS_H

#include "coding_common.h"

/* A ring in shared memory holds 1024 words in 4 segments; each lane brings 16 bytes of a segment. A
 * segment waits in registers before it goes into the ring. */

enum { CODING_RING_WORDS = 1024, CODING_SEGMENT_WORDS = 256, CODING_STEPS = 8 };

struct coding_words {
  accel_u16* ring;
  accel_u64 base;        /* address of word 0, aligned to 16 bytes unless words are at odd ones */
  accel_u64 begin, end;  /* what may be read */
  accel_u32 at;          /* the next word */
  accel_u32 filled;      /* words that are in the ring, or were */
  accel_u32x4 pending;   /* this lane's part of the next segment */
  accel_u32 candidate;   /* the word that many beyond `at` as this lane's number */
};

/* All lanes go the same way here too. */
ACCEL_DEVICE void coding_fetch(coding_words& w) {
  const accel_u64 from = w.base + ((accel_u64)w.filled + accel_lane() * 8) * 2;
  const bool whole = from >= w.begin && from + 16 <= w.end && (from & 15) == 0;
  if (accel_all(whole)) {
    w.pending = accel_load(accel_pointer<const accel_u32x4>(from));
    return;
  }
  accel_u32 v[4] = {};
  ACCEL_UNROLL
  for (accel_u32 i = 0; i < 16; ++i) {
    const accel_u64 a = from + i;
    const bool there = a >= w.begin && a < w.end;
    const accel_u32 byte = *accel_pointer<const accel_u8>(there ? a : w.begin);
    v[i / 4] |= (there ? byte : 0) << 8 * (i % 4);
  }
  w.pending = {v[0], v[1], v[2], v[3]};
}

/* Makes sure of words for CODING_STEPS steps; past the end they are zeros. */
ACCEL_DEVICE void coding_refill(coding_words& w) {
  if ((accel_i32)(w.filled - w.at) >= 2 * CODING_SEGMENT_WORDS) return;
  accel_u32x4* const ring = reinterpret_cast<accel_u32x4*>(w.ring);
  accel_sync_group();
  ring[(w.filled % CODING_RING_WORDS) / 8 + accel_lane()] = w.pending;
  accel_sync_group();
  w.filled += CODING_SEGMENT_WORDS;
  coding_fetch(w);
}

/* Goes on by the words that a step took. What the next may take is fetched now: a lane that then knows
 * which it needs gets it from another lane, sooner than from the ring. */
ACCEL_DEVICE void coding_advance(coding_words& w, accel_u32 taken) {
  w.at += taken;
  w.candidate = w.ring[(w.at + accel_lane()) % CODING_RING_WORDS];
}

/* The words of a stream from address `from` on. */
ACCEL_DEVICE void coding_begin_words(coding_words& w, accel_u64 from) {
  w.base = (from & ~15ull) | (from & 1);
  w.at = (accel_u32)((from - w.base) / 2);
  w.filled = 0;
  coding_fetch(w);
  coding_refill(w);
  coding_refill(w);
  coding_advance(w, 0);
}

#endif
