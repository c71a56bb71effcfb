// What the core asks of the vendor library that sits on it: names and numbers, set once at load.
#pragma once

#include <cstdint>

#include "accel_sim/failure.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

struct Vendor {
  const char* name = "unnamed";             // "CANN"
  const char* visible_variable = nullptr;   // environment variable that lists the visible devices
  int (*code_of)(Kind) = nullptr;           // the vendor's error number of a kind
  int default_device = -1;                  // of threads that chose none; -1: they have to choose
  std::uint32_t default_priority = 0;       // of default streams
  bool peers_enabled = false;               // devices reach each other's memory without being told to
  int execution_slots = 0;                  // operations of one device that run at once; 0: any number
};

void register_vendor(const Vendor& vendor);
const Vendor& vendor();

}  // namespace accel_sim
