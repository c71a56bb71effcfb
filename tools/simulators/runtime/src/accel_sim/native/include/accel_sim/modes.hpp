// How this run is made harder or stranger than it need be. Parsed once, from the environment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace accel_sim __attribute__((visibility("default"))) {

// One planned fault: the nth call of a name (1 is the first) fails with a code. Three names are not
// calls: "oom" (the nth device allocation), "copy_stalls" (the nth copy of a stream), "rank_dies"
// (the nth collective: the process ends).
struct Fault {
  std::string call;
  std::uint64_t nth = 1;
  int code = 0;             // 0: the vendor's code of the natural kind
  bool on_stream = false;   // where=stream: the call succeeds and its work fails when it runs
  std::uint64_t ms = 0;     // copy_stalls: for how long; 0: until the stream is aborted
  int rank = -1;            // rank_dies: only this rank of a communicator; -1: every one
};

struct Modes {
  std::uint64_t seed = 0;            // ACCEL_SIM_SEED
  std::uint32_t delay_us = 0;        // ACCEL_SIM_DELAY_US: at most this long before a stream operation
  bool strict = false;               // ACCEL_SIM_STRICT
  std::vector<Fault> faults;         // ACCEL_SIM_FAULTS: "call=NAME,nth=3,code=507899;call=oom,nth=2"
  std::string trace;                 // ACCEL_SIM_TRACE: prefix of the trace's path; empty: none
  int devices = 2;                   // ACCEL_SIM_DEVICES
  std::uint64_t memory = 8ull << 30; // ACCEL_SIM_MEMORY: bytes of one device
};

const Modes& modes();

// What the simulator poses as: the variable's value, the first of `values` when it is not set. Ends
// the process when it is none of them.
std::string choice(const char* variable, const std::vector<std::string>& values);

// Parses a plan of faults; throws std::invalid_argument that names the part it does not understand.
std::vector<Fault> parse_faults(const std::string& plan);

// Counts one call of `name` and returns the fault planned for it, or nullptr.
const Fault* fault(const char* name);

}  // namespace accel_sim
