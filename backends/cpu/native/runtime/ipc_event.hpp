// The state of an interprocess event, in shared memory.
//
// Records are numbered from 1. The maker publishes how many it has issued, and which have
// completed: all up to `floor`, and beyond it those whose bit is set (records on different streams
// complete in any order). A waiter remembers the number it saw and waits until that one is
// complete, so later records do not change what it waits for. `changes` is a futex that every
// completion bumps.
#pragma once

#include <accel/shared_segment.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "signal.hpp"

namespace accel_cpu {

class IpcEventState : public std::enable_shared_from_this<IpcEventState> {
 public:
  static constexpr std::uint64_t kWindow = 1024;  // records of one event in flight at a time

  static std::shared_ptr<IpcEventState> create(bool timing);
  static std::shared_ptr<IpcEventState> open(const std::string& handle);

  const std::string& name() const { return segment_->name(); }
  bool timing() const;
  bool made_here() const { return segment_->made_here(); }
  void take_name_away() { segment_->unlink(); }  // nobody can open it from now on

  std::shared_ptr<Signal> issue();   // maker: a new record. Fault State when kWindow are pending
  std::shared_ptr<Signal> newest();  // the newest record issued, null when none

 private:
  struct Page;
  class RecordSignal;
  IpcEventState(std::shared_ptr<accel::SharedSegment> segment, Page* page)
      : segment_(std::move(segment)), page_(page) {}

  bool done(std::uint64_t number) const;
  void complete(std::uint64_t number);
  bool wait_for(std::uint64_t number, std::chrono::nanoseconds limit) const;
  std::int64_t completed_ns(std::uint64_t number) const;

  std::shared_ptr<accel::SharedSegment> segment_;
  Page* page_;
  std::mutex maker_mutex_;
};

}  // namespace accel_cpu
