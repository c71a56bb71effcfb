// Memory and events of another process on the same machine.
//
// A process publishes what it shares in a small memory file of its own; others reach that file, and
// the file of the device's memory, through /proc/PID/fd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "accel_sim/events.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

// A printable key of at most 64 characters. Unless `open_to_all`, only processes that were allowed
// may import it.
std::string export_memory(const void* pointer, std::size_t bytes, bool open_to_all);
void allow_import(const std::string& key, int pid);
void* import_memory(const std::string& key);
void close_memory(const std::string& key);  // of an import: unmaps it; of an export: withdraws it

// The key as a number, for vendors whose handles are no larger, and back: throws ipc when what it
// means was withdrawn.
std::uint64_t packed_key(const std::string& key);
std::string unpacked_key(std::uint64_t number);

std::string export_event(const Event& event);
Event& import_event(const std::string& handle);

}  // namespace accel_sim
