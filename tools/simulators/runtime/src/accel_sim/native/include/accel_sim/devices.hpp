// The simulated devices, and which of them the calling thread uses.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "accel_sim/failure.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

class ExecutionSlots;
class Stream;

class Device {
 public:
  Device(int index, int physical);
  ~Device();
  int index() const { return index_; }        // as this process counts: 0 is the first visible one
  int physical() const { return physical_; }  // as the machine counts

  ExecutionSlots* slots() const { return slots_.get(); }  // nullptr: any number of operations run

  Stream& default_stream();
  std::vector<std::shared_ptr<Stream>> streams() const;  // the live ones, the default one first
  void add_stream(std::shared_ptr<Stream> stream);
  void remove_stream(const Stream& stream);
  bool active() const;                                   // used since the start or the last reset
  void set_active(bool active);
  void enable_peer(int peer);
  void disable_peer(int peer);
  bool peer_enabled(int peer) const;

 private:
  const int index_;
  const int physical_;
  const std::unique_ptr<ExecutionSlots> slots_;
  mutable std::mutex mutex_;
  std::shared_ptr<Stream> default_stream_;
  std::vector<std::shared_ptr<Stream>> streams_;
  std::set<int> peers_;
  bool active_ = false;
};

int device_count();
Device& device_at(int index);  // throws invalid_device

// The thread's device. A thread that chose none uses the process's default device if there is one.
int current_device_index();    // throws no_context
Device& current_device();
bool has_current_device();
void set_current_device(int index);
void clear_current_device();
void set_default_device(int index);  // -1: none

// Waits for every stream of the device. Throws the first error; the device's lock is not held.
void synchronize_device(Device& device, int timeout_ms = -1);

// Ends what runs on the device (what has not ended after wait_ms is dropped) and forgets its errors;
// with free_memory its memory goes back too.
void reset_device(Device& device, int wait_ms, bool free_memory);

// True in a child process whose parent had used the simulator: it has no stream threads.
bool forked_after_use();
void mark_used();

}  // namespace accel_sim
