// The frame of every exported function: a planned fault, and an exception turned into a result code.
#pragma once

#include <utility>

#include "accel_sim/call.hpp"
#include "failure.hpp"

#define HCCL_EXPORT extern "C" __attribute__((visibility("default")))

namespace accel_hccl {

/// HCCL's code for a code that a fault plan gave: 1 to 24 as they are, others HCCL_E_RUNTIME.
HcclResult result_of_fault(int code);
/// Inside a catch block: keeps the text as the recent error and returns the result code.
HcclResult result_of_exception(const char* name);

template <typename Body>
HcclResult guarded(const char* name, Body&& body) {
  if (const int code = accel_sim::before_call(name)) return result_of_fault(code);
  try {
    std::forward<Body>(body)();
    return HCCL_SUCCESS;
  } catch (...) {
    return result_of_exception(name);
  }
}

}  // namespace accel_hccl
