/* What a shared object of kernels, compiled through a vendor's stand-in, offers to its runner. Plain
 * C. */
#ifndef ACCEL_SIM_KERNELS_RUN_H_
#define ACCEL_SIM_KERNELS_RUN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The host address of `bytes` bytes at a device address; NULL when they must not be touched, with
 * the reason in `text`. */
typedef void* (*accel_kernel_translate)(void* context, uint64_t address, uint64_t bytes, int write,
                                        char* text, size_t room);

typedef struct accel_kernel_launch {
  const void* kernel;   /* of this shared object */
  const uint64_t* args; /* its arguments, each in whole words */
  size_t words;
  uint32_t cores;       /* in an order drawn from seed */
  uint32_t cluster;     /* cores that run at the same time and meet; 0 or 1: each runs by itself */
  uint32_t local_bytes; /* of a core's memory */
  uint64_t seed;
  accel_kernel_translate translate;
  void* context;
} accel_kernel_launch;

/* Memory that a kernel may touch, for runners without a simulator: the context of
 * accel_kernel_in_regions, which is a translation. Device addresses are what the caller likes. */
typedef struct accel_kernel_region {
  uint64_t address, bytes;
  void* host;
  int32_t writable;
} accel_kernel_region;

typedef struct accel_kernel_regions {
  const accel_kernel_region* regions;
  size_t count;
} accel_kernel_regions;

void* accel_kernel_in_regions(void* context, uint64_t address, uint64_t bytes, int write, char* text,
                              size_t room);

/* 0, or 1 with what the kernel did wrong in `text`. Nothing of it is undone. */
int accel_kernel_run(const accel_kernel_launch* launch, char* text, size_t room);

#ifdef __cplusplus
}
#endif

#endif
