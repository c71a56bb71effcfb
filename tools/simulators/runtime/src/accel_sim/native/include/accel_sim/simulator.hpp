// How a program tells a simulator from the vendor's own library.
#pragma once

#include <cstdint>

// "CANN simulator 0.1, posing as CANN 8.5.0 on Ascend910B1". Look it up by name in the opened library:
// the vendor's own libraries have no such symbol.
extern "C" __attribute__((visibility("default"))) const char* accel_simulator();

// How often an exported function was called, and the trace's file written at once: from the core,
// found in every simulator's libraries.
extern "C" __attribute__((visibility("default"))) std::uint64_t accel_simulator_calls(
    const char* name);
extern "C" __attribute__((visibility("default"))) void accel_simulator_write_trace();
