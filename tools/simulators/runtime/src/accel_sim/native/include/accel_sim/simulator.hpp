// How a program tells a simulator from the vendor's own library.
#pragma once

// "CANN simulator 0.1, posing as CANN 8.5.0 on Ascend910B1". Look it up by name in the opened library:
// the vendor's own libraries have no such symbol.
extern "C" __attribute__((visibility("default"))) const char* accel_simulator();
