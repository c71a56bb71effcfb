// What a process publishes to others: fixed slots in a memory file.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace accel_sim {

struct SharedEvent {
  std::atomic<std::uint32_t> live;
  std::atomic<std::uint64_t> recorded;  // records submitted
  std::atomic<std::uint64_t> done;      // records run
  std::atomic<std::uint64_t> time_ns;   // of the last one run
};

struct SharedMemory {
  static constexpr int kAllowed = 64;
  std::atomic<std::uint32_t> live;
  std::uint64_t nonce;
  std::int32_t file;                    // in the publishing process
  std::int32_t device;                  // physical; -1: the host's
  std::uint64_t offset;
  std::uint64_t bytes;
  std::uint32_t open_to_all;
  std::atomic<std::uint32_t> allowed_count;
  std::atomic<std::int32_t> allowed[kAllowed];
};

struct SharedPage {
  static constexpr int kSlots = 4096;
  SharedEvent events[kSlots];
  SharedMemory memories[kSlots];
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "slots are shared by processes");

SharedPage& own_page();
int own_page_file();
int take_event_slot();   // throws ipc when none is left
int take_memory_slot();
void give_memory_slot(int slot);

// Another process's page (or our own). Stays mapped. Throws ipc with the reason.
SharedPage& page_of(pid_t pid, int file);
int open_file_of(pid_t pid, int file);  // to be closed by the caller
void allow(SharedMemory& memory, int pid);           // throws ipc when the list is full
bool allowed(const SharedMemory& memory, int pid);
bool process_alive(pid_t pid);

}  // namespace accel_sim
