#include "stream_core.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "fault.hpp"
#include "lifecycle.hpp"
#include "stream_runtime.hpp"

namespace accel_cpu {

StreamCore::StreamCore(std::uint64_t id, int priority, bool is_default)
    : id(id), priority(priority), is_default(is_default), generation_(fork_generation()) {}

void StreamCore::check_fork() const {
  if (generation_ != fork_generation()) {
    throw Fault(Fault::Kind::State,
                "the stream was created before this process was forked, and its worker runs in the "
                "parent only: create streams in the process that uses them");
  }
}

bool StreamCore::held_by_this_thread() const {
  return holder_.load(std::memory_order_relaxed) == this_thread_token();
}

// --- submission ----------------------------------------------------------------------------------

void StreamCore::push(WorkItem item) {
  check_fork();
  std::unique_lock<std::mutex> lock(mutex_);
  ensure_worker(lock);  // before the item is counted: starting a thread may fail
  queue_.push_back(std::move(item));
  submitted_.store(submitted_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  if (sleeping_) work_.notify_one();
}

void StreamCore::ensure_worker(std::unique_lock<std::mutex>&) {
  if (has_worker_) return;
  runtime().worker_started();
  try {
    std::thread([self = shared_from_this()]() mutable {
      self->serve();
      self.reset();
      runtime().worker_ended();
    }).detach();
  } catch (...) {
    runtime().worker_ended();
    throw;
  }
  has_worker_ = true;
}

void StreamCore::run_as_holder(WorkItem& item, bool keep_errors) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!queue_.empty()) {
    lock.unlock();
    drain_as_holder();
    lock.lock();
  }
  submitted_.store(submitted_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  busy_ = true;
  lock.unlock();
  std::exception_ptr error;
  try {
    execute(item, false);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  if (error && keep_errors) {
    if (!first_error_) first_error_ = error;
    ++error_count_;
    error = nullptr;
  }
  finish_one(lock);
  lock.unlock();
  if (error) std::rethrow_exception(error);
}

void StreamCore::drain_as_holder() {
  wait_helping([&](std::chrono::nanoseconds limit) {
    if (run_queued_as_holder()) return true;
    std::shared_ptr<Signal> blocking;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!queue_.empty()) blocking = queue_.front().signal;
    }
    // Other streams that this thread has entered may have to move first: so not for long.
    if (blocking) blocking->wait_for(std::min(limit, kHelpingPoll));
    return false;
  });
}

bool StreamCore::run_queued_as_holder() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!queue_.empty()) {
    if (busy_) return false;  // called from within a task of this very stream
    WorkItem& front = queue_.front();
    if (front.kind == WorkItem::Kind::Wait) {
      try {
        if (!front.signal->done() && !front.signal->wait_for(std::chrono::nanoseconds(0))) {
          return false;
        }
      } catch (...) {
        if (!first_error_) first_error_ = std::current_exception();
        ++error_count_;
      }
      queue_.pop_front();
      finish_one(lock);
      continue;
    }
    WorkItem item = std::move(front);
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    std::exception_ptr error;
    try {
      execute(item, false);
    } catch (...) {
      error = std::current_exception();
    }
    item = WorkItem{};
    lock.lock();
    if (error) {
      if (!first_error_) first_error_ = error;
      ++error_count_;
    }
    finish_one(lock);
  }
  return true;
}

// --- the worker ----------------------------------------------------------------------------------

bool StreamCore::may_pop() const {
  return !queue_.empty() && holder_.load(std::memory_order_relaxed) == nullptr && !busy_ &&
         (hold_requests_.empty() || hold_requests_.front().after > completed());
}

void StreamCore::serve() {
  std::unique_lock<std::mutex> lock(mutex_);
  bool released = true;
  for (;;) {
    if (may_pop()) {
      WorkItem item = std::move(queue_.front());
      queue_.pop_front();
      busy_ = true;
      lock.unlock();
      std::exception_ptr error;
      try {
        execute(item, true);
      } catch (...) {
        error = std::current_exception();
      }
      item = WorkItem{};  // what it kept alive goes before the work counts as done
      released = false;
      lock.lock();
      if (error) {
        if (!first_error_) first_error_ = std::move(error);
        ++error_count_;
      }
      finish_one(lock);
      continue;
    }
    if (!released) {
      lock.unlock();
      run_idle_hook();
      released = true;
      lock.lock();
      continue;
    }
    // At the program's end a thread that never leaves its stream must not hold up the exit.
    const bool abandoned =
        runtime().stopped() && holder_.load(std::memory_order_relaxed) != nullptr;
    if (closing_ && (queue_.empty() || abandoned)) {
      has_worker_ = false;
      return;
    }
    sleeping_ = true;
    work_.wait(lock);
    sleeping_ = false;
  }
}

void StreamCore::execute(WorkItem& item, bool on_worker) {
  switch (item.kind) {
    case WorkItem::Kind::Task:
      if (on_worker) {
        PermitScope permit(priority);
        item.body();
      } else {
        item.body();
      }
      break;
    case WorkItem::Kind::Callback: {
      CallbackScope mark;
      item.body();
      break;
    }
    case WorkItem::Kind::Wait:
      if (on_worker) {
        item.signal->wait_for(kForever);
      } else {
        wait_helping([&](std::chrono::nanoseconds limit) { return item.signal->wait_for(limit); });
      }
      break;
    case WorkItem::Kind::Record: item.signal->complete(); break;
  }
}

void StreamCore::finish_one(std::unique_lock<std::mutex>&) {
  completed_.store(completed_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  busy_ = false;
  if (waiters_ > 0) progress_.notify_all();
}

void StreamCore::close() {
  if (generation_ != fork_generation()) return;
  std::lock_guard<std::mutex> lock(mutex_);
  closing_ = true;
  work_.notify_all();
}

// --- holding: a thread stands in for the stream --------------------------------------------------

bool StreamCore::try_hold() {
  check_fork();
  std::lock_guard<std::mutex> lock(mutex_);
  if (!queue_.empty() || busy_ || holder_.load(std::memory_order_relaxed) != nullptr ||
      !hold_requests_.empty()) {
    return false;
  }
  holder_.store(this_thread_token(), std::memory_order_relaxed);
  return true;
}

void StreamCore::hold() {
  if (try_hold()) return;
  refuse_in_callback("entering a stream");
  std::unique_lock<std::mutex> lock(mutex_);
  const std::uint64_t ticket = tickets_++;
  hold_requests_.push_back({submitted(), ticket});
  ++waiters_;
  const auto granted = [&] {
    return hold_requests_.front().ticket == ticket && !busy_ &&
           holder_.load(std::memory_order_relaxed) == nullptr &&
           completed() >= hold_requests_.front().after;
  };
  lock.unlock();
  wait_helping([&](std::chrono::nanoseconds limit) {
    std::unique_lock<std::mutex> inner(mutex_);
    const bool now = wait_until(progress_, inner, limit, granted);
    if (now) {
      hold_requests_.pop_front();
      holder_.store(this_thread_token(), std::memory_order_relaxed);
      --waiters_;
    }
    return now;
  });
}

void StreamCore::release() {
  std::lock_guard<std::mutex> lock(mutex_);
  holder_.store(nullptr, std::memory_order_relaxed);
  if (!queue_.empty() || closing_) work_.notify_one();
  if (waiters_ > 0) progress_.notify_all();
}

// --- asking and waiting --------------------------------------------------------------------------

bool StreamCore::idle() const {
  const std::uint64_t done = completed();
  return done >= submitted();
}

bool StreamCore::idle_and_free() const {
  check_fork();
  std::lock_guard<std::mutex> lock(mutex_);
  return queue_.empty() && !busy_ && holder_.load(std::memory_order_relaxed) == nullptr &&
         hold_requests_.empty();
}

bool StreamCore::wait_completed(std::uint64_t count, std::chrono::nanoseconds limit) {
  check_fork();
  if (completed() >= count) return true;
  refuse_in_callback("waiting for a stream");
  return wait_helping(
      [&](std::chrono::nanoseconds step) {
        std::unique_lock<std::mutex> lock(mutex_);
        ++waiters_;
        const bool now = wait_until(progress_, lock, step, [&] { return completed() >= count; });
        --waiters_;
        return now;
      },
      limit);
}

void StreamCore::keep_error(std::exception_ptr error) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!first_error_) first_error_ = std::move(error);
  ++error_count_;
}

void StreamCore::throw_errors() {
  check_fork();
  std::exception_ptr error;
  std::size_t count = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::swap(error, first_error_);
    std::swap(count, error_count_);
  }
  if (error) throw WorkFailed(error, count);
}

}  // namespace accel_cpu
