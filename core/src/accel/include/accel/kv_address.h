/* Address arithmetic of KV caches: written once, included by CPU, CUDA/HIP, AscendC and BANG code.
 *
 * Plain C99, no headers, no library: runtime compilers include it as it stands. Define ACCEL_KV_FN
 * before including it to add qualifiers (for instance `static __device__ __forceinline__`).
 *
 * A transfer moves `units` (tokens, or whole blocks) of every (layer, plane) pair from slot src[i]
 * of one cache to slot dst[i] of another. For one plane, in bytes:
 *
 *   address(slot, run) = base[layer * planes + plane]
 *                      + (slot / block_size) * block_stride + (slot % block_size) * slot_stride
 *                      + sum over d of index_d(run) * stride_d
 *
 * and `run_bytes` contiguous bytes move from one address to the other. Strides are signed and all
 * arithmetic is 64-bit.
 */
#ifndef ACCEL_KV_ADDRESS_H
#define ACCEL_KV_ADDRESS_H

#ifndef ACCEL_KV_FN
#define ACCEL_KV_FN static inline
#endif

typedef long long accel_i64;

enum { ACCEL_KV_MAX_DIMS = 8 };

/* Where a unit starts in one cache's plane. */
typedef struct accel_kv_paging {
  accel_i64 block_size;   /* units in a block; 1 when a unit is a block or the cache is flat */
  accel_i64 block_stride; /* bytes */
  accel_i64 slot_stride;  /* bytes */
} accel_kv_paging;

/* One plane (K or V) of a transfer between two caches. */
typedef struct accel_kv_plane {
  accel_kv_paging src;
  accel_kv_paging dst;
  accel_i64 run_bytes; /* contiguous on both sides */
  accel_i64 runs;      /* product of size[0..ndim) */
  accel_i64 ndim;      /* dimensions of runs within a unit, outermost first */
  accel_i64 size[ACCEL_KV_MAX_DIMS];
  accel_i64 src_stride[ACCEL_KV_MAX_DIMS]; /* bytes */
  accel_i64 dst_stride[ACCEL_KV_MAX_DIMS]; /* bytes */
} accel_kv_plane;

/* One plane of a conversion between two dtypes: what is counted in bytes above is counted in elements
 * of either side here, run_bytes included. Where scales differ by head, the head of run `run` is the
 * sum over d of index_d(run) * head_d, on the side whose scales they are; else the steps are 0. */
typedef struct accel_kv_elements {
  accel_kv_plane plane;
  accel_i64 src_head[ACCEL_KV_MAX_DIMS];
  accel_i64 dst_head[ACCEL_KV_MAX_DIMS];
} accel_kv_elements;

/* Byte offset of unit `slot` (>= 0) from the plane's base. */
ACCEL_KV_FN accel_i64 accel_kv_unit_offset(const accel_kv_paging *p, accel_i64 slot) {
  if (p->block_size == 1) return slot * p->block_stride;
  return slot / p->block_size * p->block_stride + slot % p->block_size * p->slot_stride;
}

/* Byte offsets of run `run` (0 <= run < plane->runs) within a unit, on both sides. */
ACCEL_KV_FN void accel_kv_run_offsets(const accel_kv_plane *plane, accel_i64 run, accel_i64 *src,
                                      accel_i64 *dst) {
  accel_i64 s = 0, d = 0;
  for (accel_i64 i = plane->ndim - 1; i >= 0; --i) {
    const accel_i64 index = run % plane->size[i];
    run /= plane->size[i];
    s += index * plane->src_stride[i];
    d += index * plane->dst_stride[i];
  }
  *src = s;
  *dst = d;
}

#endif /* ACCEL_KV_ADDRESS_H */
