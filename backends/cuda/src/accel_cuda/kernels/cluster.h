/* Blocks that run at the same time and reach each other's shared memory: clusters, which CUDA has
 * from sm_90 on. A launch says how many blocks a cluster has; elsewhere that is one.
 *
 * The grid's first extent is a multiple of that; the blocks of a cluster are neighbours along it. A
 * block must not end while another may still read its shared memory.
 */
#ifndef ACCEL_CUDA_CLUSTER_H
#define ACCEL_CUDA_CLUSTER_H

#include "device.h"

#if defined(__CUDA_ARCH__) && !defined(ACCEL_HOST_SHIM) && __CUDA_ARCH__ >= 900
/* All threads of all blocks of the cluster: barriers that order shared memory among them. */
ACCEL_DEVICE void accel_cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
ACCEL_DEVICE void accel_cluster_wait() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/* A word of the shared memory of block `rank` of the cluster, where this block has `word`. */
ACCEL_DEVICE accel_u32 accel_cluster_load(const accel_u32* word, accel_u32 rank) {
  accel_u32 v;
  asm volatile("{.reg .u32 a; mapa.shared::cluster.u32 a, %1, %2; ld.shared::cluster.u32 %0, [a];}"
               : "=r"(v)
               : "r"((accel_u32)__cvta_generic_to_shared(word)), "r"(rank)
               : "memory");
  return v;
}
#else
ACCEL_DEVICE void accel_cluster_arrive() { accel_sync_threads(); }
ACCEL_DEVICE void accel_cluster_wait() { accel_sync_threads(); }
ACCEL_DEVICE accel_u32 accel_cluster_load(const accel_u32* word, accel_u32) { return *word; }
#endif

#endif
