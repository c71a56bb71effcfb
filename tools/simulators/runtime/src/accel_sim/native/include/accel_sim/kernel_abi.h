/* A simulated device binary: a host shared object that exports, for a kernel NAME, the function
   NAME_accel_sim of type accel_sim_kernel_entry. It is called once for each block, on the thread of
   the stream that the kernel was launched on; blocks run one after another. Plain C. */
#ifndef ACCEL_SIM_KERNEL_ABI_H_
#define ACCEL_SIM_KERNEL_ABI_H_

#include <stddef.h>
#include <stdint.h>

struct accel_sim_launch {
  uint32_t block_index;
  uint32_t block_count;
  const uint8_t* arguments;      /* the arguments one after another, each aligned to 8 bytes */
  size_t argument_bytes;
  /* The host alias of `bytes` of device memory. On memory that is not there it returns NULL and has
     noted why: the kernel should return a non-zero value, the launch then fails with that reason. */
  void* (*host_of)(const void* device_pointer, size_t bytes);
};

/* 0, or non-zero with *error set to a text that outlives the call (or left alone). */
typedef int (*accel_sim_kernel_entry)(const struct accel_sim_launch* launch, const char** error);

#endif
