// What every file of exported functions starts with.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accel_sim/call.hpp"
#include "accel_sim/devices.hpp"
#include "accel_sim/failure.hpp"
#include "codes.hpp"
#include "pose.hpp"

#define ACL_EXPORT extern "C" __attribute__((visibility("default")))

namespace ascendcl {

using accel_sim::Failure;
using accel_sim::guarded;
using accel_sim::Kind;

template <typename T>
T& required(T* pointer, const char* name) {
  if (!pointer) throw Failure(kInvalidParameter, std::string(name) + " is a null pointer");
  return *pointer;
}

}  // namespace ascendcl
