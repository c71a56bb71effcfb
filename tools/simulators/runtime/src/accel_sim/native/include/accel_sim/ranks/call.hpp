// The frame of every exported function: a planned fault, and an exception turned into a code.
#pragma once

#include <utility>

#include "accel_sim/call.hpp"

namespace accel_ranks __attribute__((visibility("default"))) {

/// The vendor's code for a code that a fault plan gave.
int planned_code(int code);
/// Inside a catch block: keeps the text as the recent error and returns the vendor's code.
int failed_call(const char* name);

template <typename Body>
int guarded(const char* name, Body&& body) {
  if (const int code = accel_sim::before_call(name)) return planned_code(code);
  try {
    std::forward<Body>(body)();
    return 0;
  } catch (...) {
    return failed_call(name);
  }
}

}  // namespace accel_ranks
