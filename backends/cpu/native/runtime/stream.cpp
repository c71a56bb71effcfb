#include "stream.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "fault.hpp"
#include "lifecycle.hpp"
#include "parallel.hpp"
#include "stream_core.hpp"
#include "stream_runtime.hpp"

namespace accel_cpu {
namespace {

struct ThreadState {
  std::vector<std::shared_ptr<Stream>> entered;  // innermost last
  bool in_callback = false;
};
thread_local ThreadState thread_state;

std::atomic<StreamRuntime*> current_runtime{nullptr};
std::atomic<void (*)()> idle_hook{nullptr};
std::atomic<std::uint64_t> next_handle{
    1};  // goes on in a forked child: no handle names two streams

void forget_streams() {
  current_runtime.store(nullptr);
  thread_state.entered.clear();
  thread_state.in_callback = false;
}

}  // namespace

// --- shared by all streams -----------------------------------------------------------------------

StreamRuntime::StreamRuntime()
    : default_stream(std::make_shared<Stream>(std::make_shared<StreamCore>(0, 0, true))),
      permits(thread_count()) {}

StreamRuntime& runtime() {
  static const bool registered = [] {
    at_fork_child(forget_streams);
    return true;
  }();
  (void)registered;
  StreamRuntime* found = current_runtime.load(std::memory_order_acquire);
  if (found == nullptr) {
    auto* made = new StreamRuntime;
    if (current_runtime.compare_exchange_strong(found, made)) return *made;
    delete made;
  }
  return *found;
}

std::shared_ptr<Stream> StreamRuntime::create(int priority) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::uint64_t handle = next_handle.fetch_add(1);
  auto core = std::make_shared<StreamCore>(
      handle, std::clamp(priority, Stream::kGreatestPriority, Stream::kLeastPriority), false);
  auto stream = std::make_shared<Stream>(core);
  streams_[handle] = stream;
  cores_[handle] = core;
  return stream;
}

std::shared_ptr<Stream> StreamRuntime::find(std::uint64_t handle) {
  if (handle == 0) return default_stream;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto at = streams_.find(handle);
  if (at != streams_.end()) {
    if (auto stream = at->second.lock()) return stream;
  }
  if (handle < next_handle.load()) {
    throw ArgumentFault(ArgumentFault::Kind::Freed, "handle", "the handle of a live stream",
                        std::to_string(handle) + ", whose stream was destroyed",
                        "keep the stream object as long as its handle is in use");
  }
  throw ArgumentFault(ArgumentFault::Kind::Argument, "handle",
                      "the handle of a stream of this process", std::to_string(handle));
}

std::vector<std::shared_ptr<Stream>> StreamRuntime::all() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::shared_ptr<Stream>> found;
  for (const auto& [handle, weak] : streams_) {
    if (auto stream = weak.lock()) found.push_back(std::move(stream));
  }
  return found;
}

std::vector<std::shared_ptr<StreamCore>> StreamRuntime::cores() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::shared_ptr<StreamCore>> found;
  for (auto at = cores_.begin(); at != cores_.end();) {
    if (auto core = at->second.lock()) {
      found.push_back(std::move(core));
      ++at;
    } else {
      at = cores_.erase(at);
    }
  }
  return found;
}

void StreamRuntime::forget(std::uint64_t handle) {
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.erase(handle);
  for (auto at = cores_.begin(); at != cores_.end();) {
    at = at->second.expired() ? cores_.erase(at) : std::next(at);
  }
}

void StreamRuntime::worker_started() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++workers_;
}

void StreamRuntime::worker_ended() {
  std::lock_guard<std::mutex> lock(mutex_);
  --workers_;
  workers_changed_.notify_all();
}

bool StreamRuntime::stop(std::chrono::nanoseconds limit) {
  stopped_.store(true, std::memory_order_release);
  for (const auto& core : cores()) core->close();
  return wait_helping(
      [&](std::chrono::nanoseconds step) {
        std::unique_lock<std::mutex> lock(mutex_);
        return wait_until(workers_changed_, lock, step, [&] { return workers_ == 0; });
      },
      limit);
}

const void* this_thread_token() {
  static thread_local char token;
  return &token;
}

CallbackScope::CallbackScope() : before_(thread_state.in_callback) {
  thread_state.in_callback = true;
}
CallbackScope::~CallbackScope() { thread_state.in_callback = before_; }

void refuse_in_callback(const char* what) {
  if (!thread_state.in_callback) return;
  throw Fault(Fault::Kind::State,
              std::string(what) +
                  " inside a stream callback would never return: callbacks must "
                  "not synchronise");
}

void run_idle_hook() {
  if (auto* hook = idle_hook.load(std::memory_order_acquire)) hook();
}

void set_idle_hook(void (*hook)()) { idle_hook.store(hook, std::memory_order_release); }

bool help_entered_streams() {
  bool nothing_left = true;
  // By index: a callback may enter and leave streams of its own.
  for (std::size_t i = 0; i < thread_state.entered.size(); ++i) {
    const auto stream = thread_state.entered[i];
    nothing_left &= stream->help();
  }
  return nothing_left;
}

bool wait_on_host(Signal& signal, std::chrono::nanoseconds limit) {
  if (signal.done()) return true;
  refuse_in_callback("waiting for an event");
  return wait_helping([&](std::chrono::nanoseconds step) { return signal.wait_for(step); }, limit);
}

bool shutdown_streams(std::chrono::nanoseconds limit) { return runtime().stop(limit); }

bool synchronize_all(std::chrono::nanoseconds limit) {
  const std::int64_t deadline = limit == kForever ? 0 : steady_ns() + limit.count();
  for (const auto& core : runtime().cores()) {
    const auto left =
        deadline == 0 ? kForever
                      : std::chrono::nanoseconds(std::max<std::int64_t>(0, deadline - steady_ns()));
    if (!core->wait_completed(core->submitted(), left)) return false;
  }
  return true;
}

// --- one stream ----------------------------------------------------------------------------------

std::shared_ptr<Stream> Stream::create(int priority) { return runtime().create(priority); }
std::shared_ptr<Stream> Stream::default_stream() { return runtime().default_stream; }
std::shared_ptr<Stream> Stream::from_handle(std::uint64_t handle) { return runtime().find(handle); }
std::vector<std::shared_ptr<Stream>> Stream::all() { return runtime().all(); }

std::shared_ptr<Stream> Stream::current() {
  const auto& entered = thread_state.entered;
  return entered.empty() ? runtime().default_stream : entered.back();
}

Stream::~Stream() {
  if (core_->is_default) return;
  core_->close();
  runtime().forget(core_->id);
}

int Stream::priority() const { return core_->priority; }
std::uint64_t Stream::handle() const { return core_->id; }
bool Stream::is_default() const { return core_->is_default; }

bool Stream::runs_inline() const {
  return core_->is_default || core_->held_by_this_thread() || runtime().stopped();
}

void Stream::give(WorkItem item, bool keep_errors) {
  if (core_->is_default) {
    run_on_default(item, keep_errors);
  } else if (core_->held_by_this_thread()) {
    core_->run_as_holder(item, keep_errors);
  } else if (runtime().stopped()) {
    StreamScope scope(shared_from_this());
    core_->run_as_holder(item, keep_errors);
  } else {
    core_->push(std::move(item));
  }
}

void Stream::run_on_default(WorkItem& item, bool keep_errors) {
  try {
    core_->execute(item, false);
  } catch (...) {
    if (!keep_errors) throw;
    core_->keep_error(std::current_exception());
  }
}

void Stream::submit(Task task) { give({WorkItem::Kind::Task, std::move(task), nullptr}, false); }

void Stream::callback(Task fn) { give({WorkItem::Kind::Callback, std::move(fn), nullptr}, true); }

void Stream::run_blocking(Task task) {
  if (runs_inline()) {
    submit(std::move(task));
    return;
  }
  if (core_->try_hold()) {  // idle: stand in for it, two thread switches cheaper than its worker
    struct Release {
      StreamCore& core;
      ~Release() { core.release(); }
    } release{*core_};
    WorkItem item{WorkItem::Kind::Task, std::move(task), nullptr};
    core_->run_as_holder(item, false);
    return;
  }
  refuse_in_callback("a blocking copy");
  std::exception_ptr error;
  // Shared with the task, which may still be inside complete() when this thread sees it done.
  const auto finished = std::make_shared<LocalSignal>();
  core_->push({WorkItem::Kind::Task, Task([&task, &error, finished]() {
                 try {
                   task();
                 } catch (...) {
                   error = std::current_exception();
                 }
                 finished->complete();
               }),
               nullptr});
  wait_on_host(*finished);  // never throws here: the frame outlives what the task refers to
  if (error) std::rethrow_exception(error);
}

void Stream::wait(std::shared_ptr<Signal> signal) {
  if (signal == nullptr || signal->done()) return;
  give({WorkItem::Kind::Wait, Task(), std::move(signal)}, false);
}

void Stream::record(std::shared_ptr<Signal> signal) {
  if (!core_->is_default && !core_->held_by_this_thread() && core_->idle_and_free()) {
    signal->complete();
    return;
  }
  give({WorkItem::Kind::Record, Task(), std::move(signal)}, false);
}

void Stream::wait_stream(Stream& other) {
  if (other.core_ == core_ || (other.query() && other.core_->idle_and_free())) return;
  auto signal = std::make_shared<LocalSignal>();
  other.record(signal);
  wait(std::move(signal));
}

bool Stream::query() const { return core_->idle(); }

bool Stream::wait_idle(std::chrono::nanoseconds limit) {
  return core_->wait_completed(core_->submitted(), limit);
}

void Stream::synchronize() {
  wait_idle();
  core_->throw_errors();
}

void Stream::throw_errors() { core_->throw_errors(); }
void Stream::keep_error(std::exception_ptr error) { core_->keep_error(std::move(error)); }
StreamPoint Stream::point() const { return StreamPoint(core_, core_->submitted()); }
bool Stream::help() { return core_->is_default || core_->run_queued_as_holder(); }

void Stream::enter() {
  if (!core_->is_default && !core_->held_by_this_thread()) core_->hold();
  thread_state.entered.push_back(shared_from_this());
}

void Stream::exit() {
  auto& entered = thread_state.entered;
  if (entered.empty() || entered.back().get() != this) {
    throw Fault(Fault::Kind::State,
                "streams must be left by the thread that entered them, innermost first");
  }
  const auto keep = std::move(entered.back());
  entered.pop_back();
  if (core_->is_default || std::find(entered.begin(), entered.end(), keep) != entered.end()) return;
  core_->release();
}

}  // namespace accel_cpu
