// Events: a wait or a query sees the record that came before it, whatever is recorded later.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "accel_sim/streams.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

class Mark;  // one record of an event

class Event {
 public:
  Event(bool timing, bool interprocess);
  ~Event();
  bool timing() const { return timing_; }
  bool interprocess() const { return interprocess_; }

  void record(Stream& stream, const char* name = "event record");
  void wait_on(Stream& stream, const char* name = "event wait");
  void reset();                  // as if never recorded
  bool complete() const;         // true before the first record
  bool recorded() const;
  void synchronize(int timeout_ms = -1);   // throws the error of the stream at the record
  std::uint64_t time_ns() const;           // when the record ran: throws no_timing, not_ready

 private:
  friend struct EventAccess;
  const bool timing_;
  const bool interprocess_;
  mutable std::mutex mutex_;
  std::shared_ptr<Mark> mark_;
  void* shared_ = nullptr;       // the slot of an interprocess event
};

Event& create_event(bool timing, bool interprocess);
void destroy_event(void* handle);
Event& event_of(void* handle);  // throws invalid_handle
double elapsed_ms(const Event& start, const Event& end);

}  // namespace accel_sim
