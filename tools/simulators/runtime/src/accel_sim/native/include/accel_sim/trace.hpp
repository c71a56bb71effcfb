// A timeline of what ran on every stream, in Chrome's trace format: one file for each process.
#pragma once

#include <cstdint>
#include <string>

namespace accel_sim __attribute__((visibility("default"))) {

std::uint64_t now_ns();  // a monotonic clock, the same in every process of the machine

bool tracing();
// One stretch of work: on stream `stream` of a device, or (stream < 0) on the calling host thread.
void trace(const std::string& name, int device, int stream, std::uint64_t begin_ns,
           std::uint64_t end_ns, std::uint64_t bytes);
void write_trace();  // now; the file is written at the process's end in any case

// How often an exported function was called, traced or not.
void count_call(const char* name);
std::uint64_t call_count(const char* name);

}  // namespace accel_sim
