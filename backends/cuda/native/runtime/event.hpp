// Points in a stream's work.
#pragma once

#include <memory>
#include <string>

#include "runtime.hpp"

namespace accel_cuda {

// Records, waits and queries are the driver's, which takes a snapshot at each record, as the
// contract asks for.
class Event : public std::enable_shared_from_this<Event> {
 public:
  // Raises CapabilityError for both at once, which the driver cannot do.
  static std::shared_ptr<Event> create(const Device& device, bool timing, bool interprocess);
  // Raises ArgumentError when the bytes are no handle, or their maker is gone.
  static std::shared_ptr<Event> from_ipc_handle(const Device& device, const std::string& handle);

  Event(Runtime& runtime, EventHandle handle, bool timing, bool interprocess, bool foreign);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  Runtime& runtime;
  const bool timing;
  const bool interprocess;

  const Device& device() const noexcept { return runtime.device; }
  EventHandle handle() const noexcept { return handle_; }

  // It was recorded. The handle itself may have been, by an owner before.
  bool has_snapshot() const noexcept { return recorded_ || foreign_; }

  void record(StreamHandle stream);
  void wait(StreamHandle stream);
  bool query() const;
  void synchronize() const;
  double elapsed_ms(const Event& end) const;
  std::string ipc_handle();

 private:
  void refuse_captured(const char* call) const;

  const EventHandle handle_;
  const bool foreign_;     // of another process
  bool recorded_ = false;
  bool captured_ = false;  // the newest record is part of a graph
};

}  // namespace accel_cuda
