// What the core asks of the vendor library that sits on it: names and numbers, set once at load.
#pragma once

#include "accel_sim/failure.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

struct Vendor {
  const char* name = "unnamed";             // "CANN"
  const char* visible_variable = nullptr;   // environment variable that lists the visible devices
  int (*code_of)(Kind) = nullptr;           // the vendor's error number of a kind
};

void register_vendor(const Vendor& vendor);
const Vendor& vendor();

}  // namespace accel_sim
