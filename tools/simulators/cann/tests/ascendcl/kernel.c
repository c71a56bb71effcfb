/* A simulated device binary for the tests: adds a number to each byte, one slice for each block. */
#include <string.h>

#include "accel_sim/kernel_abi.h"

struct arguments {
  uint8_t* data;
  uint64_t bytes;
  uint64_t addend;
};

int add_accel_sim(const struct accel_sim_launch* launch, const char** error) {
  struct arguments given;
  if (launch->argument_bytes != sizeof given) {
    *error = "three arguments are expected";
    return 1;
  }
  memcpy(&given, launch->arguments, sizeof given);
  uint64_t slice = (given.bytes + launch->block_count - 1) / launch->block_count;
  uint64_t begin = slice * launch->block_index;
  uint64_t end = begin + slice < given.bytes ? begin + slice : given.bytes;
  if (begin >= end) return 0;
  uint8_t* host = launch->host_of(given.data + begin, end - begin);
  if (!host) return 1;
  for (uint64_t at = 0; at < end - begin; ++at) host[at] = (uint8_t)(host[at] + given.addend);
  return 0;
}
