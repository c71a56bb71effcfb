#include "accel_sim/simulator.hpp"

#include "accel_sim/trace.hpp"

extern "C" std::uint64_t accel_simulator_calls(const char* name) {
  return accel_sim::call_count(name);
}

extern "C" void accel_simulator_write_trace() { accel_sim::write_trace(); }
