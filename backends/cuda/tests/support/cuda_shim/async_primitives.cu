// Kernels over async_copy.h, for the tests of the host shim and of the compilers.
#include "device.h"

#include "async_copy.h"

struct rounds_args {
  accel_u64 in, out;
  accel_u32 rounds, stages;
};

template <unsigned Bytes>
ACCEL_DEVICE void increment_by_threads(const rounds_args& args, accel_u32* tiles) {
  // Two stages; each thread copies one vector a round and handles its neighbour's.
  constexpr accel_u32 kWords = Bytes / 4;
  const accel_u32 t = accel_thread(), words = accel_threads() * kWords;
  const accel_u32* in = accel_pointer<const accel_u32>(args.in);
  accel_u32* out = accel_pointer<accel_u32>(args.out);
  accel_async_copy<Bytes>(tiles + t * kWords, in + t * kWords);
  accel_async_commit();
  for (accel_u32 round = 0; round < args.rounds; ++round) {
    accel_u32* tile = tiles + round % 2 * words;
    if (round + 1 < args.rounds) {
      accel_u32* next = tiles + (round + 1) % 2 * words;
      accel_async_copy<Bytes>(next + t * kWords, in + (round + 1) * words + t * kWords);
    }
    accel_async_commit();
#ifndef FORGET_WAIT
    accel_async_wait<1>();
#endif
    accel_sync_threads();
    const accel_u32 other = (t ^ 1u) * kWords;
    for (accel_u32 i = 0; i < kWords; ++i) out[round * words + other + i] = tile[other + i] + 1;
    accel_sync_threads();
  }
}
ACCEL_KERNEL(async_4, rounds_args, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, tiles);
  increment_by_threads<4>(args, tiles);
}
ACCEL_KERNEL(async_8, rounds_args, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, tiles);
  increment_by_threads<8>(args, tiles);
}
ACCEL_KERNEL(async_16, rounds_args, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, tiles);
  increment_by_threads<16>(args, tiles);
}

// Thread 0 loads and stores parts of 16 bytes a thread; all add one in between.
ACCEL_KERNEL(bulk, rounds_args, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, tiles);
  ACCEL_SHARED accel_mbarrier full[2];
  const accel_u32 t = accel_thread(), words = accel_threads() * 4, bytes = words * 4;
  const accel_u32* in = accel_pointer<const accel_u32>(args.in);
  accel_u32* out = accel_pointer<accel_u32>(args.out);
  if (t == 0) {
    accel_mbarrier_init(&full[0], 1);
    accel_mbarrier_init(&full[1], 1);
    accel_mbarrier_fence();
  }
  accel_sync_threads();
  if (t == 0) {
    accel_mbarrier_arrive_expect(&full[0], bytes);
    accel_bulk_load(tiles, in, bytes, &full[0]);
  }
  for (accel_u32 round = 0; round < args.rounds; ++round) {
    const accel_u32 stage = round % 2;
    if (t == 0 && round + 1 < args.rounds) {
#ifndef FORGET_READ
      accel_bulk_wait_read<0>();
#endif
      accel_mbarrier_arrive_expect(&full[stage ^ 1u], bytes);
      accel_bulk_load(tiles + (stage ^ 1u) * words, in + (round + 1) * words, bytes,
                      &full[stage ^ 1u]);
    }
#ifndef FORGET_WAIT
    accel_mbarrier_wait(&full[stage], round / 2 & 1u);
#endif
    for (accel_u32 i = 0; i < 4; ++i) tiles[stage * words + t * 4 + i] += 1;
    accel_fence_async_shared();
    accel_sync_threads();
    if (t == 0) {
      accel_bulk_store(out + round * words, tiles + stage * words, bytes);
      accel_bulk_commit();
    }
  }
  if (t == 0) accel_bulk_wait_read<0>();
}
