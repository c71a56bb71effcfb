#include "event.hpp"

#include "fault.hpp"
#include "ipc_event.hpp"

namespace accel_cpu {
namespace {
std::atomic<std::uint64_t> next_id{1};
}  // namespace

Event::Event(bool timing, bool interprocess)
    : id_(next_id.fetch_add(1)),
      timing_(timing),
      imported_(false),
      ipc_(interprocess ? IpcEventState::create(timing) : nullptr) {}

Event::Event(std::shared_ptr<IpcEventState> imported, bool timing)
    : id_(next_id.fetch_add(1)), timing_(timing), imported_(true), ipc_(std::move(imported)) {}

// Others keep what they opened; pending records keep the memory until they are complete.
Event::~Event() {
  if (ipc_ != nullptr && !imported_) ipc_->take_name_away();
}

std::shared_ptr<Event> Event::from_ipc_handle(const std::string& handle) {
  auto state = IpcEventState::open(handle);
  const bool timing = state->timing();
  return std::shared_ptr<Event>(new Event(std::move(state), timing));
}

void Event::record(Stream& stream) {
  if (imported_) {
    throw Fault(Fault::Kind::State,
                "an event opened from an interprocess handle is recorded by its maker only");
  }
  std::shared_ptr<Signal> signal;
  if (ipc_ != nullptr) {
    if (!ipc_->made_here()) {
      throw Fault(
          Fault::Kind::State,
          "an interprocess event is recorded by the process that made it, not by its forks");
    }
    signal = ipc_->issue();
  } else {
    signal = std::make_shared<LocalSignal>();
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    newest_ = signal;
  }
  stream.record(std::move(signal));
}

std::shared_ptr<Signal> Event::snapshot() const {
  if (imported_) return ipc_->newest();
  std::lock_guard<std::mutex> lock(mutex_);
  return newest_;
}

void Event::wait(Stream& stream) { stream.wait(snapshot()); }

bool Event::query() const {
  const auto signal = snapshot();
  return signal == nullptr || signal->done();
}

bool Event::wait_for(std::chrono::nanoseconds limit) {
  const auto signal = snapshot();
  return signal == nullptr || wait_on_host(*signal, limit);
}

std::int64_t Event::completion_ns(const char* which) const {
  if (!timing_) {
    throw Fault(Fault::Kind::State,
                std::string("the ") + which + " event keeps no time: create it with timing=True");
  }
  const auto signal = snapshot();
  if (signal == nullptr) {
    throw Fault(Fault::Kind::State, std::string("the ") + which + " event was never recorded");
  }
  const std::int64_t ns = signal->completed_ns();
  if (ns == 0) {
    throw Fault(Fault::Kind::NotReady, std::string("the ") + which +
                                           " event has not completed: synchronise with it first");
  }
  return ns;
}

double Event::elapsed_ms(const Event& end) const {
  const std::int64_t from = completion_ns("start");
  return static_cast<double>(end.completion_ns("end") - from) * 1e-6;
}

std::string Event::ipc_handle() const {
  if (ipc_ == nullptr) {
    throw Fault(Fault::Kind::State,
                "the event belongs to this process: create it with interprocess=True");
  }
  return ipc_->name();
}

}  // namespace accel_cpu
