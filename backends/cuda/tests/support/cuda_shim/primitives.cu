// Kernels over every primitive of device.h, for the tests of the host shim and of the compilers.
#include "device.h"

struct words_args {
  accel_u64 in, out;
  accel_u32 count, extra;
};

ACCEL_KERNEL(indices, words_args, args) {
  const accel_u64 block =
      accel_block_x() + (accel_u64)accel_grid_x() * (accel_block_y() +
                                                     (accel_u64)accel_grid_y() * accel_block_z());
  const accel_u64 i = block * accel_threads() + accel_thread();
  accel_u32* out = accel_pointer<accel_u32>(args.out) + 4 * i;
  accel_store(out + 0, accel_lane());
  accel_store(out + 1, accel_group());
  accel_store(out + 2, accel_grid_z());
  accel_store(out + 3, args.extra);
}

// Each block reverses its part: through shared memory, with a barrier or (FORGET_BARRIER) without.
ACCEL_KERNEL_BOUNDS(256, 1, reverse, words_args, args) {
  ACCEL_SHARED accel_u32 tile[256];
  const accel_u32 first = accel_block_x() * accel_threads(), t = accel_thread();
  tile[t] = accel_load_stream(accel_pointer<accel_u32>(args.in) + first + t);
#ifndef FORGET_BARRIER
  accel_sync_threads();
#endif
  accel_store(accel_pointer<accel_u32>(args.out) + first + t, tile[accel_threads() - 1 - t]);
}

// The same by dynamic shared memory, within groups only.
ACCEL_KERNEL(reverse_groups, words_args, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, tile);
  const accel_u32 first = accel_block_x() * accel_threads(), t = accel_thread();
  tile[t] = accel_load(accel_pointer<accel_u32>(args.in) + first + t);
#ifndef FORGET_BARRIER
  accel_sync_group();
#endif
  accel_store(accel_pointer<accel_u32>(args.out) + first + t, tile[t ^ 31u]);
}

template <typename T>
ACCEL_DEVICE void shuffles(const T* in, T* out, accel_u32 by) {
  const accel_u32 t = accel_thread(), all = accel_threads();
  const T v = in[t];
  out[0 * all + t] = accel_shuffle(v, (accel_lane() * 7u + by) & 31u);
  out[1 * all + t] = accel_shuffle_up(v, by);
  out[2 * all + t] = accel_shuffle_down(v, by);
  out[3 * all + t] = accel_shuffle_xor(v, by);
}
ACCEL_KERNEL(shuffles_u32, words_args, args) {
  shuffles(accel_pointer<const accel_u32>(args.in), accel_pointer<accel_u32>(args.out), args.extra);
}
ACCEL_KERNEL(shuffles_u64, words_args, args) {
  shuffles(accel_pointer<const accel_u64>(args.in), accel_pointer<accel_u64>(args.out), args.extra);
}
ACCEL_KERNEL(shuffles_f32, words_args, args) {
  shuffles(accel_pointer<const float>(args.in), accel_pointer<float>(args.out), args.extra);
}

ACCEL_KERNEL(votes, words_args, args) {
  const accel_u32 t = accel_thread();
  const bool p = accel_pointer<const accel_u32>(args.in)[t] < args.extra;
  accel_u32* out = accel_pointer<accel_u32>(args.out) + 4 * t;
  out[0] = accel_ballot(p);
  out[1] = accel_any(p);
  out[2] = accel_all(p);
  out[3] = accel_popc(accel_ballot(p) & accel_lanes_below());
}

template <unsigned Bytes>
ACCEL_DEVICE void copy_vectors(const words_args& args) {
  typedef accel_vector<Bytes> vector;
  const accel_u32 i = accel_block_x() * accel_threads() + accel_thread();
  if (i >= args.count) return;
  const vector* in = accel_pointer<const vector>(args.in);
  vector* out = accel_pointer<vector>(args.out);
  accel_store(out + i, accel_load_stream(in + i));
  accel_store(out + args.count + i, accel_load(in + i));
}
ACCEL_KERNEL(copy_1, words_args, args) { copy_vectors<1>(args); }
ACCEL_KERNEL(copy_2, words_args, args) { copy_vectors<2>(args); }
ACCEL_KERNEL(copy_4, words_args, args) { copy_vectors<4>(args); }
ACCEL_KERNEL(copy_8, words_args, args) { copy_vectors<8>(args); }
ACCEL_KERNEL(copy_16, words_args, args) { copy_vectors<16>(args); }

// out: sum, least, greatest, or, then a counter of 64 bits; then two exchanges.
ACCEL_KERNEL(atomics, words_args, args) {
  const accel_u32 i = accel_block_x() * accel_threads() + accel_thread();
  const accel_u32 v = accel_load(accel_pointer<const accel_u32>(args.in) + i);
  accel_u32* out = accel_pointer<accel_u32>(args.out);
  accel_u64* wide = accel_pointer<accel_u64>(args.out + 16);
  accel_atomic_add(out + 0, v);
  accel_atomic_min(out + 1, v);
  accel_atomic_max(out + 2, v);
  accel_atomic_or(out + 3, 1u << (v & 31u));
  accel_atomic_add(wide + 0, (accel_u64)v << 20);
  accel_atomic_add(wide + 1, (accel_u64)1);
  accel_atomic_min(wide + 2, (accel_u64)v << 32);
  accel_atomic_max(wide + 3, (accel_u64)v << 32);
  accel_atomic_or(wide + 4, (accel_u64)1 << (v & 63u));
  if (v == args.extra) {
    accel_store_release_system(wide + 5, (accel_u64)accel_atomic_exchange(out + 20, i));
    accel_atomic_cas(out + 21, 5u, i);
    accel_atomic_cas(out + 22, 5u, i);
    accel_store_release(out + 23, accel_load_acquire(out + 22));
    accel_fence_block();
    accel_fence_device();
    accel_fence_system();
  }
}

// Threads hand a turn on to the next one by a word in memory: who waits must let others run.
ACCEL_KERNEL(turns, words_args, args) {
  accel_u32* word = accel_pointer<accel_u32>(args.out);
  while (accel_load_acquire(word) != accel_thread()) accel_nanosleep(100);
  accel_u32* order = word + 1 + accel_thread();
  accel_store(order, args.extra + accel_thread());
#ifndef NEVER_HAND_ON
  accel_store_release(word, accel_thread() + 1);
#endif
}

ACCEL_KERNEL(bit_functions, words_args, args) {
  const accel_u32 i = accel_block_x() * accel_threads() + accel_thread();
  if (i >= args.count) return;
  const accel_u64* in = accel_pointer<const accel_u64>(args.in) + 2 * i;
  accel_u64* out = accel_pointer<accel_u64>(args.out) + 16 * i;
  const accel_u64 a = in[0], b = in[1];
  const accel_u32 low_a = (accel_u32)a, low_b = (accel_u32)b;
  out[0] = accel_popc(a);
  out[1] = accel_popc(low_a);
  out[2] = accel_clz(a);
  out[3] = accel_clz(low_a);
  out[4] = accel_ffs(a);
  out[5] = accel_ffs(low_a);
  out[6] = accel_mul_high(a, b);
  out[7] = accel_mul_high(low_a, low_b);
  out[8] = accel_byte_permute(low_a, low_b, (accel_u32)(a >> 32));
  out[9] = accel_funnel_right(low_a, low_b, (accel_u32)(b >> 32));
  out[10] = accel_min(a, b);
  out[11] = accel_max(a, b);
  out[12] = accel_lanes_below();
  out[13] = 0;
  out[14] = accel_globaltimer();
  out[15] = accel_globaltimer() - out[14];
}

ACCEL_KERNEL(float_functions, words_args, args) {
  const accel_u32 i = accel_block_x() * accel_threads() + accel_thread();
  if (i >= args.count) return;
  const float* in = accel_pointer<const float>(args.in) + 3 * i;
  float* out = accel_pointer<float>(args.out) + 4 * i;
  out[0] = accel_fma(in[0], in[1], in[2]);
  out[1] = in[0] * in[1] + in[2];
  out[2] = accel_rint(in[0]);
  out[3] = in[0] / in[1];
}
