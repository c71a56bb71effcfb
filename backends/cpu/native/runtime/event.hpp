// Events: re-recordable markers. Each recording makes a new Signal; a wait takes the newest one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "signal.hpp"
#include "stream.hpp"

namespace accel_cpu {

class IpcEventState;

class Event {
 public:
  Event(bool timing, bool interprocess);
  // The event of another process, or of this one, made with interprocess. ArgumentFault otherwise.
  static std::shared_ptr<Event> from_ipc_handle(const std::string& handle);
  ~Event();

  std::uint64_t handle() const { return id_; }
  bool timing() const { return timing_; }
  bool interprocess() const { return ipc_ != nullptr; }

  void record(Stream& stream);
  void wait(Stream& stream);
  bool query() const;
  // Blocks for at most `limit`; true when the newest snapshot is done or there is none.
  bool wait_for(std::chrono::nanoseconds limit);
  double elapsed_ms(const Event& end) const;
  std::string ipc_handle() const;

  // The newest snapshot, null when never recorded.
  std::shared_ptr<Signal> snapshot() const;

 private:
  Event(std::shared_ptr<IpcEventState> imported, bool timing);
  std::int64_t completion_ns(const char* which) const;

  const std::uint64_t id_;
  const bool timing_;
  const bool imported_;
  std::shared_ptr<IpcEventState> ipc_;
  mutable std::mutex mutex_;
  std::shared_ptr<Signal> newest_;
};

}  // namespace accel_cpu
