// The shared state of a stream: owned by its Stream, its worker thread and places in its work.
#pragma once

#include <accel/stream_point.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>

#include "signal.hpp"
#include "task.hpp"

namespace accel_cpu {

struct WorkItem {
  enum class Kind { Task, Callback, Wait, Record };
  Kind kind;
  Task body;                       // Task, Callback
  std::shared_ptr<Signal> signal;  // Wait, Record
};

class StreamCore : public accel::StreamProgress, public std::enable_shared_from_this<StreamCore> {
 public:
  StreamCore(std::uint64_t id, int priority, bool is_default);

  const std::uint64_t id;
  const int priority;
  const bool is_default;

  void push(WorkItem item);
  bool held_by_this_thread() const;
  // Runs one item as the thread that holds the stream, after everything queued.
  void run_as_holder(WorkItem& item, bool keep_errors);
  // Runs everything queued as the holder, blocking where the queue waits.
  void drain_as_holder();
  // Runs queued items as the holder, up to the first wait that is not done; true when none is left.
  bool run_queued_as_holder();

  bool try_hold();
  void hold();
  void release();

  bool idle() const;
  std::uint64_t submitted() const { return submitted_.load(std::memory_order_acquire); }
  std::uint64_t completed() const { return completed_.load(std::memory_order_acquire); }
  bool reached(std::uint64_t place) const override { return completed() >= place; }
  // Blocks until the first `count` items are done.
  bool wait_completed(std::uint64_t count, std::chrono::nanoseconds limit);
  // True when the stream is idle and free of any holder at this instant.
  bool idle_and_free() const;

  void keep_error(std::exception_ptr error);
  void throw_errors();

  void close();  // no more work comes: the worker ends when the queue is empty
  void check_fork() const;
  void execute(WorkItem& item, bool on_worker);

 private:
  struct HoldRequest {
    std::uint64_t after, ticket;
  };

  bool may_pop() const;
  void ensure_worker(std::unique_lock<std::mutex>& lock);
  void serve();
  void finish_one(std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;
  std::condition_variable work_, progress_;
  std::deque<WorkItem> queue_;
  std::deque<HoldRequest> hold_requests_;
  std::atomic<std::uint64_t> submitted_{0}, completed_{0};
  std::atomic<const void*> holder_{nullptr};
  std::uint64_t tickets_ = 0;
  int waiters_ = 0;
  bool busy_ = false, sleeping_ = false, has_worker_ = false, closing_ = false;
  std::exception_ptr first_error_;
  std::size_t error_count_ = 0;
  const unsigned generation_;
};

}  // namespace accel_cpu
