// What the coder's kernels found wrong, as errors in the CPU coder's words.
#pragma once

#include <cstdint>

#include "kernels/fault_record.h"

namespace accel_cuda::coding {

struct Finding {
  unsigned kind = 0;          // CODING_FOUND_...
  std::uint64_t where = 0;
  std::uint64_t bins = 0;
  std::uint64_t facts[3] = {};  // the symbol at fault or the bytes of data, tokens, channels;
                                // of a wrong shape: layers, tokens, channels
};

// What a record of kind ACCEL_FAULT_CODEC says.
Finding finding_of(const AccelFaultRecord& record);

// Raises the error that it stands for. The GIL must be held.
[[noreturn]] void raise_finding(const Finding& finding);

}  // namespace accel_cuda::coding
