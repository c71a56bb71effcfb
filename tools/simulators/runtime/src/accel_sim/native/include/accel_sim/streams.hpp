// Streams: a queue of tasks that one thread runs in order. The thread starts with the first task.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "accel_sim/devices.hpp"
#include "accel_sim/failure.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

class Graph;

struct Task {
  std::string name;            // what the trace shows, the vendor's function or operator
  std::function<void()> run;   // must be repeatable: a captured graph runs it again
  std::uint64_t bytes = 0;     // moved, for the trace; 0 where it means nothing
  bool control = false;        // an event's mark or wait: runs on a failed stream too, not delayed
  bool waits = false;          // may wait for other work, as a collective does: takes no slot
};

class Stream {
 public:
  Stream(Device& device, int id, std::uint32_t priority, std::uint32_t flags);
  Device& device() const { return device_; }
  int id() const { return id_; }
  std::uint32_t priority() const { return priority_; }
  std::uint32_t flags() const { return flags_; }
  void* handle() { return this; }

  void submit(Task task);
  bool idle() const;
  // Waits for everything submitted so far; false when timeout_ms (>= 0) passed first.
  bool drain(int timeout_ms = -1);
  // The first error of a task since the last take. A stream that stops on failure keeps it.
  Error take_error();
  Error peek_error() const;
  void set_stop_on_failure(bool stop);
  // Drops what has not begun and wakes a stalled task; those waiting see `stream_aborted`.
  void abort();
  void close();   // drains, then ends the thread
  void retire();  // the thread ends when the queue is empty, and takes the stream off its device
  void stall(std::uint64_t ms);  // on its own thread: until an abort, or until ms passed (0: no limit)

  // While a graph is set, tasks go into it instead of the queue.
  void set_capture(std::shared_ptr<Graph> graph);
  std::shared_ptr<Graph> capture() const;

 private:
  void run();
  void run_one(Task& task, std::uint64_t number);

  Device& device_;
  const int id_;
  const std::uint32_t priority_;
  const std::uint32_t flags_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::deque<Task> queue_;
  std::shared_ptr<Graph> capture_;
  std::uint64_t submitted_ = 0;
  std::uint64_t finished_ = 0;
  std::uint64_t aborted_ = 0;  // tasks up to this number are dropped
  bool started_ = false;
  bool closing_ = false;
  bool retired_ = false;
  bool stop_on_failure_ = false;
  Error error_;
};

Stream& create_stream(Device& device, std::uint32_t priority, std::uint32_t flags);
void destroy_stream(void* handle, bool force);
// The same without waiting: the stream ends by itself when its work has run.
void retire_stream(void* handle);
// The stream of a handle; nullptr is the current device's default stream. Throws invalid_handle.
Stream& stream_of(void* handle);

// Puts a task on a stream. An exception in it becomes the stream's error, which the next synchronise
// or query reports. Strict: throws wrong_device when the stream is not one of the current device.
void submit(Stream& stream, Task task);
// Waits for all that was submitted and throws the stream's error if there is one, or timeout.
void synchronize_stream(Stream& stream, int timeout_ms = -1);
// Runs a host function in the stream's order, on the stream's thread.
void launch_host(Stream& stream, const std::string& name, std::function<void()> function);
// True on a thread that runs a host function: it must not wait, allocate or launch.
bool inside_host_function();
// Sleeps on the stream's thread until an abort of it or until ms passed (0: no limit).
void stall(std::uint64_t ms);

}  // namespace accel_sim
