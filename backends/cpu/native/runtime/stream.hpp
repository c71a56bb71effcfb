// Streams: first-in, first-out queues of work, each with its own worker thread.
//
//   auto s = Stream::create(/*priority=*/0);
//   s->submit([=] { ... });      // queued; runs on the worker, under a run permit
//   s->synchronize();            // throws WorkFailed if a task threw
//
// The default stream is *inline*: work given to it runs on the calling thread before the call
// returns. A thread that has entered a stream (StreamScope, or enter/exit) stands in for it: the
// queue is drained, the worker is held, and this thread's own work on the stream runs inline, after
// whatever other threads queued in the meantime. Nothing here knows Python: tasks must not touch
// Python objects unless they take the GIL themselves.
#pragma once

#include <accel/stream_point.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include "signal.hpp"
#include "task.hpp"

namespace accel_cpu {

class StreamCore;
struct WorkItem;

using accel::StreamPoint;

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  static constexpr int kLeastPriority = 0;
  static constexpr int kGreatestPriority = -5;

  static std::shared_ptr<Stream> create(int priority = 0);  // clamped to the range
  static std::shared_ptr<Stream> default_stream();
  static std::shared_ptr<Stream> current();
  // The live stream with this handle. ArgumentFault: Argument if there never was one, Freed if
  // gone.
  static std::shared_ptr<Stream> from_handle(std::uint64_t handle);
  static std::vector<std::shared_ptr<Stream>> all();

  explicit Stream(std::shared_ptr<StreamCore> core) : core_(std::move(core)) {}
  ~Stream();  // queued work still runs, in the background
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int priority() const;
  std::uint64_t handle() const;  // 0 for the default stream; never used twice
  bool is_default() const;

  // True when work given by this thread runs on this thread, before submit returns: the default
  // stream, a stream that the thread has entered, and every stream after shutdown.
  bool runs_inline() const;

  // Runs `task` in stream order. Inline: exceptions propagate to the caller. Queued: they are kept
  // for synchronize().
  void submit(Task task);
  // submit, and return when it has run. An idle stream's task runs on the calling thread.
  // Exceptions of this task propagate to the caller.
  void run_blocking(Task task);
  // A host callback: takes no run permit, and its exceptions are always kept for synchronize().
  void callback(Task fn);

  // Later work waits for `signal`; inline: the calling thread waits now.
  void wait(std::shared_ptr<Signal> signal);
  // `signal` completes when all work given so far is done.
  void record(std::shared_ptr<Signal> signal);
  void wait_stream(Stream& other);

  bool query() const;
  // Blocks for at most `limit` until all work given before the call is done; false on timeout.
  bool wait_idle(std::chrono::nanoseconds limit = kForever);
  void synchronize();  // wait_idle, then throw_errors
  void throw_errors();
  void keep_error(std::exception_ptr error);
  StreamPoint point() const;  // all work given so far

  void enter();
  void exit();  // of the innermost enter() of this thread, which must be of this stream

 private:
  friend bool help_entered_streams();
  bool help();
  void give(WorkItem item, bool keep_errors);
  void run_on_default(WorkItem& item, bool keep_errors);

  std::shared_ptr<StreamCore> core_;
};

class StreamScope {
 public:
  explicit StreamScope(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {
    stream_->enter();
  }
  ~StreamScope() { stream_->exit(); }
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  std::shared_ptr<Stream> stream_;
};

// Blocks the calling thread for at most `limit` until `signal` is done, running meanwhile what
// other threads queued on the streams that this thread has entered. Throws Fault in a callback.
bool wait_on_host(Signal& signal, std::chrono::nanoseconds limit = kForever);

// wait_idle of all streams, also of those whose object is gone; false on timeout.
bool synchronize_all(std::chrono::nanoseconds limit = kForever);

// Waits, for at most `limit`, until every stream has run its work and its worker has ended; streams
// given work afterwards run it inline. Called once, when the program ends.
bool shutdown_streams(std::chrono::nanoseconds limit = kForever);

// Called by a worker whose queue has just run empty (releases kept references, for Python).
void set_idle_hook(void (*hook)());

}  // namespace accel_cpu
