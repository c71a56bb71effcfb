// Calls into CNRT, with what they refuse as exceptions.
#pragma once

#include <accel_sim_cnrt/cnrt.h>

namespace torch_mlu {

// Throws RuntimeError to Python: the function, the code, and what the simulator says about it.
void check(cnrtRet_t code, const char* function);

// What "not done yet" is answered with depends on the release.
inline bool is_busy(cnrtRet_t code) {
  return code == cnrtErrorNotReady || code == cnrtErrorBusy;
}

}  // namespace torch_mlu

// MLU_CHECK(cnrtSetDevice, 1);
#define MLU_CHECK(function, ...) ::torch_mlu::check(function(__VA_ARGS__), #function)
