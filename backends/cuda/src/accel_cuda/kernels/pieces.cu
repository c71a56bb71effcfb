/* Many contiguous copies in one launch: a block takes a piece at a time. Memory is the device's own
 * or page-locked host memory; the host has checked all of it. */
#include "device.h"
#include "pieces_args.h"

namespace {

/* Bytes up to a multiple of Unit in the destination one by one, then units, then what is left. The
 * two addresses differ by a multiple of Unit. */
template <unsigned Unit>
ACCEL_DEVICE void copy_aligned(accel_u64 dst, accel_u64 src, accel_u64 nbytes) {
  typedef accel_vector<Unit> V;
  const accel_u64 head = accel_min<accel_u64>((0 - dst) % Unit, nbytes);
  const accel_u64 units = (nbytes - head) / Unit;
  const accel_u64 tail = head + units * Unit;
  if (accel_thread() < head) {
    accel_store(accel_pointer<accel_u8>(dst + accel_thread()),
                accel_load(accel_pointer<const accel_u8>(src + accel_thread())));
  }
  const accel_u64 threads = ACCEL_PIECES_THREADS;
  accel_u64 n = accel_thread();
  for (; n + 3 * threads < units; n += 4 * threads) {
    V value[4];
    ACCEL_UNROLL
    for (int i = 0; i < 4; ++i) {
      value[i] = accel_load_stream(
          accel_pointer<const V>(src + head + (n + (accel_u64)i * threads) * Unit));
    }
    ACCEL_UNROLL
    for (int i = 0; i < 4; ++i) {
      accel_store(accel_pointer<V>(dst + head + (n + (accel_u64)i * threads) * Unit), value[i]);
    }
  }
  for (; n < units; n += threads) {
    accel_store(accel_pointer<V>(dst + head + n * Unit),
                accel_load_stream(accel_pointer<const V>(src + head + n * Unit)));
  }
  const accel_u64 last = tail + accel_thread();
  if (last < nbytes) {
    accel_store(accel_pointer<accel_u8>(dst + last),
                accel_load(accel_pointer<const accel_u8>(src + last)));
  }
}

ACCEL_DEVICE void copy_piece(accel_u64 dst, accel_u64 src, accel_u64 nbytes) {
  const accel_u32 apart = (accel_u32)(dst ^ src);
  if ((apart & 15u) == 0) {
    copy_aligned<16>(dst, src, nbytes);
  } else if ((apart & 7u) == 0) {
    copy_aligned<8>(dst, src, nbytes);
  } else if ((apart & 3u) == 0) {
    copy_aligned<4>(dst, src, nbytes);
  } else if ((apart & 1u) == 0) {
    copy_aligned<2>(dst, src, nbytes);
  } else {
    copy_aligned<1>(dst, src, nbytes);
  }
}

}  // namespace

ACCEL_KERNEL_BOUNDS(ACCEL_PIECES_THREADS, 4, copy_pieces, accel_pieces_args, args) {
  for (accel_u32 n = accel_block_x(); n < args.count; n += accel_grid_x()) {
    if (args.list != 0) {
      const accel_piece* piece = accel_pointer<const accel_piece>(args.list) + n;
      copy_piece(accel_load(&piece->dst), accel_load(&piece->src), accel_load(&piece->nbytes));
    } else {
      copy_piece(args.piece[n].dst, args.piece[n].src, args.piece[n].nbytes);
    }
  }
}

ACCEL_KERNEL_BOUNDS(ACCEL_PIECES_THREADS, 4, copy_flat, accel_flat_args, args) {
  const accel_u64 step = (accel_u64)accel_grid_x() * ACCEL_FLAT_PART;
  for (accel_u64 at = (accel_u64)accel_block_x() * ACCEL_FLAT_PART; at < args.nbytes; at += step) {
    copy_piece(args.dst + at, args.src + at,
               accel_min<accel_u64>(ACCEL_FLAT_PART, args.nbytes - at));
  }
}
