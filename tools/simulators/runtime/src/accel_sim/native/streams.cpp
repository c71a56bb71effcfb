#include "accel_sim/streams.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <chrono>
#include <thread>
#include <utility>

#include "accel_sim/graphs.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/trace.hpp"
#include "delays.hpp"
#include "execution_slots.hpp"
#include "planned_failure.hpp"

namespace accel_sim {
namespace {

using Clock = std::chrono::steady_clock;

thread_local Stream* running_stream = nullptr;
thread_local bool in_host_function = false;

// Signals belong to the program's own threads.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

Stream::Stream(Device& device, int id, std::uint32_t priority, std::uint32_t flags)
    : device_(device), id_(id), priority_(priority), flags_(flags) {}

void Stream::submit(Task task) {
  std::shared_ptr<Graph> graph = capture();
  if (graph) return graph->add(std::move(task));
  std::lock_guard<std::mutex> lock(mutex_);
  if (stop_on_failure_ && error_ && !task.control) throw Failure(error_.code, error_.text);
  queue_.push_back(std::move(task));
  ++submitted_;
  if (!started_) {
    started_ = true;
    std::thread([this] { run(); }).detach();
  }
  work_.notify_one();
}

void Stream::run() {
  block_signals();
  running_stream = this;
  const std::string name = "accel-sim " + std::to_string(id_);
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0);  // delays are to be as long as they were drawn
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return !queue_.empty() || closing_; });
    if (queue_.empty()) break;
    Task task = std::move(queue_.front());
    queue_.pop_front();
    const std::uint64_t number = finished_ + 1;
    const bool dropped =
        !task.control && (number <= aborted_ || (stop_on_failure_ && error_));
    lock.unlock();
    if (!dropped) run_one(task, number);
    task = Task();  // what it keeps alive goes before anyone learns that it is done
    lock.lock();
    ++finished_;
    done_.notify_all();
  }
  const bool retired = retired_;
  lock.unlock();
  if (retired) device_.remove_stream(*this);
}

void Stream::run_one(Task& task, std::uint64_t number) {
  if (!task.control) {
    if (const std::uint32_t wait = delay_us(id_, number)) {
      std::this_thread::sleep_for(std::chrono::microseconds(wait));
    }
  }
  const SlotHold slot(task.control || task.waits ? nullptr : device_.slots(), priority_);
  const bool traced = tracing() && !task.name.empty();
  const std::uint64_t begin = traced ? now_ns() : 0;
  try {
    task.run();
  } catch (...) {
    Error error = current_error();
    if (error.text.compare(0, task.name.size(), task.name) != 0) {
      error.text = task.name + ": " + error.text;
    }
    std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  if (traced) trace(task.name, device_.index(), id_, begin, now_ns(), task.bytes);
}

bool Stream::idle() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return finished_ == submitted_;
}

bool Stream::drain(int timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  const std::uint64_t goal = submitted_;
  const auto reached = [&] { return finished_ >= goal; };
  if (timeout_ms < 0) {
    done_.wait(lock, reached);
    return true;
  }
  return done_.wait_until(lock, Clock::now() + std::chrono::milliseconds(timeout_ms), reached);
}

Error Stream::take_error() {
  std::lock_guard<std::mutex> lock(mutex_);
  Error error = error_;
  if (!stop_on_failure_) error_ = Error();
  return error;
}

Error Stream::peek_error() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return error_;
}

void Stream::set_stop_on_failure(bool stop) {
  std::lock_guard<std::mutex> lock(mutex_);
  stop_on_failure_ = stop;
}

void Stream::abort() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (finished_ == submitted_) return;
  aborted_ = submitted_;
  if (!error_) {
    const Failure failure(Kind::stream_aborted, "the work of stream " + std::to_string(id_) +
                                                    " was aborted");
    error_ = {failure.code(), failure.what()};
  }
  done_.notify_all();
}

void Stream::close() {
  drain();
  std::lock_guard<std::mutex> lock(mutex_);
  closing_ = true;
  work_.notify_all();
}

void Stream::retire() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    retired_ = true;
    work_.notify_all();
    if (started_) return;
  }
  device_.remove_stream(*this);
}

void Stream::stall(std::uint64_t ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  const std::uint64_t before = aborted_;
  const auto aborted = [&] { return aborted_ != before; };
  if (ms == 0) {
    done_.wait(lock, aborted);
  } else {
    done_.wait_until(lock, Clock::now() + std::chrono::milliseconds(ms), aborted);
  }
}

void Stream::set_capture(std::shared_ptr<Graph> graph) {
  std::lock_guard<std::mutex> lock(mutex_);
  capture_ = std::move(graph);
}

std::shared_ptr<Graph> Stream::capture() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return capture_;
}

void submit(Stream& stream, Task task) {
  if (modes().strict && has_current_device() &&
      current_device_index() != stream.device().index()) {
    throw Failure(Kind::wrong_device,
                  task.name + ": stream " + std::to_string(stream.id()) + " is of device " +
                      std::to_string(stream.device().index()) + ", the current device is " +
                      std::to_string(current_device_index()));
  }
  if (modes().strict && inside_host_function() && !task.control) {
    throw Failure(Kind::invalid_argument, task.name + ": submitted from inside a host function");
  }
  if (const Error planned = take_planned_failure()) {
    task.run = [planned] { throw Failure(planned.code, planned.text); };
  }
  stream.submit(std::move(task));
}

void synchronize_stream(Stream& stream, int timeout_ms) {
  if (stream.capture()) {
    throw Failure(Kind::capture, "a stream cannot be waited for while it is captured");
  }
  if (&stream == running_stream) {
    throw Failure(Kind::invalid_argument, "a stream's own host function waits for it");
  }
  if (!stream.drain(timeout_ms)) {
    throw Failure(Kind::timeout, "stream " + std::to_string(stream.id()) +
                                     " had work left after " + std::to_string(timeout_ms) + " ms");
  }
  if (const Error error = stream.take_error()) throw Failure(error.code, error.text);
}

void launch_host(Stream& stream, const std::string& name, std::function<void()> function) {
  Task task;
  task.name = name;
  task.waits = true;
  task.run = [function = std::move(function)] {
    in_host_function = true;
    try {
      function();
    } catch (...) {
      in_host_function = false;
      throw;
    }
    in_host_function = false;
  };
  submit(stream, std::move(task));
}

bool inside_host_function() { return in_host_function; }

void stall(std::uint64_t ms) {
  if (running_stream) running_stream->stall(ms);
}

}  // namespace accel_sim
