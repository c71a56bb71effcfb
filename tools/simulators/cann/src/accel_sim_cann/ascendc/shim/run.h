/* What a shared object of kernels, compiled through the stand-in, offers to its runner. Plain C. */
#ifndef ACCEL_ASCENDC_RUN_H
#define ACCEL_ASCENDC_RUN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The host address of `bytes` bytes at a device address; NULL when they must not be touched, with
 * the reason in `text`. */
typedef void* (*accel_ascendc_translate)(void* context, uint64_t address, uint64_t bytes, int write,
                                         char* text, size_t room);

typedef struct accel_ascendc_launch {
  void* kernel;             /* of this shared object, by dlsym */
  const uint64_t* args;     /* its arguments, of which it may have at most 6 */
  size_t count;
  uint32_t blocks;          /* cores: they run one after another, in an order drawn from seed */
  uint32_t unified_bytes;   /* of a core; 196608 on Ascend 910B */
  uint64_t seed;
  accel_ascendc_translate translate;
  void* context;
} accel_ascendc_launch;

/* Memory that a kernel may touch, for runners without a simulator: the context of
 * accel_ascendc_in_regions, which is a translation. Device addresses are what the caller likes. */
typedef struct accel_ascendc_region {
  uint64_t address, bytes;
  void* host;
  int32_t writable;
} accel_ascendc_region;

typedef struct accel_ascendc_regions {
  const accel_ascendc_region* regions;
  size_t count;
} accel_ascendc_regions;

void* accel_ascendc_in_regions(void* context, uint64_t address, uint64_t bytes, int write,
                               char* text, size_t room);

/* 0, or 1 with what the kernel did wrong in `text`. Nothing of it is undone. */
int accel_ascendc_run(const accel_ascendc_launch* launch, char* text, size_t room);

#ifdef __cplusplus
}
#endif

#endif
