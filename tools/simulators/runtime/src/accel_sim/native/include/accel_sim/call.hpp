// The frame of every exported function: counts it, makes a planned fault happen, refuses a forked
// child, and turns an exception into the vendor's code.
#pragma once

#include <string>
#include <utility>

#include "accel_sim/failure.hpp"

#define ACCEL_SIM_EXPORT extern "C" __attribute__((visibility("default")))

namespace accel_sim __attribute__((visibility("default"))) {

// 0, or the code with which the call must fail now (its text is kept as the recent error).
int before_call(const char* name);
int failed_call(const char* name);  // inside a catch block

// int code = guarded(__func__, [&] { ...; });
template <typename Body>
int guarded(const char* name, Body&& body) {
  if (const int code = before_call(name)) return code;
  try {
    std::forward<Body>(body)();
    return 0;
  } catch (...) {
    return failed_call(name);
  }
}

template <typename T>
T& required(T* pointer, const char* name) {
  if (!pointer) throw Failure(Kind::null_pointer, std::string(name) + " is a null pointer");
  return *pointer;
}

}  // namespace accel_sim
