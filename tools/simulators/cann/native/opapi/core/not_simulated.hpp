// What every name of aclnn_names.txt answers that no operator here defines.
#pragma once

namespace accel_opapi {

// An inner error of the operators' library. CANN's "feature not supported" would not do: torch_npu
// answers that code with a warning and goes on.
constexpr int kNotSimulated = 561000;

// Fails the call at once, with a text that names the operator; no stream hears of it.
int not_simulated(const char* name) noexcept;

}  // namespace accel_opapi

// Weak: an operator of the same name, defined with ACLNN, takes precedence when the library is
// linked.
#define ACLNN_NOT_SIMULATED(NAME)                                             \
  extern "C" {                                                                \
  __attribute__((visibility("default"), weak)) int NAME##GetWorkspaceSize() { \
    return accel_opapi::not_simulated(#NAME);                                 \
  }                                                                           \
  __attribute__((visibility("default"), weak)) int NAME() {                   \
    return accel_opapi::not_simulated(#NAME);                                 \
  }                                                                           \
  }
