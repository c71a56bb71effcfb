#include "accel_sim/events.hpp"

#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "accel_sim/sharing.hpp"
#include "accel_sim/trace.hpp"
#include "event_marks.hpp"

namespace accel_sim {

struct EventAccess {
  static SharedSlot* slot(const Event& event) { return static_cast<SharedSlot*>(event.shared_); }
  static void set_slot(Event& event, SharedSlot* slot) { event.shared_ = slot; }
  // The record that a call made now has to look at; nullptr before the first.
  static std::shared_ptr<Mark> mark(const Event& event) {
    std::lock_guard<std::mutex> lock(event.mutex_);
    if (SharedSlot* shared = slot(event)) {
      const std::uint64_t generation = shared->event->recorded.load();
      if (generation == 0) return nullptr;
      return std::make_shared<SharedMark>(*shared->event, shared->owner, generation);
    }
    return event.mark_;
  }
};

namespace {

struct Events {
  std::mutex mutex;
  std::unordered_map<const void*, std::unique_ptr<Event>> live;
};

Events& events() {
  static Events* const one = new Events;
  return *one;
}

Event& keep(std::unique_ptr<Event> event) {
  Events& all = events();
  std::lock_guard<std::mutex> lock(all.mutex);
  Event& kept = *event;
  all.live[&kept] = std::move(event);
  return kept;
}

}  // namespace

Event::Event(bool timing, bool interprocess) : timing_(timing), interprocess_(interprocess) {}

Event::~Event() { delete static_cast<SharedSlot*>(shared_); }

void Event::record(Stream& stream, const char* name) {
  std::shared_ptr<Mark> mark;
  std::function<void()> run;
  if (SharedSlot* slot = EventAccess::slot(*this)) {
    auto shared = std::make_shared<SharedMark>(*slot->event, slot->owner,
                                               slot->event->recorded.fetch_add(1) + 1);
    run = [shared] { shared->publish(); };
    mark = shared;
  } else {
    mark = std::make_shared<Mark>();
    Stream* on = &stream;
    run = [mark, on] { mark->finish(on->peek_error()); };
  }
  mark->graph = stream.capture();
  const bool captured = mark->graph != nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    mark_ = mark;
  }
  if (captured) return mark->finish(Error());
  Task task;
  task.name = name;
  task.run = std::move(run);
  task.control = true;
  submit(stream, std::move(task));
}

void Event::wait_on(Stream& stream, const char* name) {
  const std::shared_ptr<Mark> mark = EventAccess::mark(*this);
  if (!mark) return;
  const std::shared_ptr<Graph> capturing = stream.capture();
  if (mark->graph && mark->graph->origin() && mark->graph->origin()->capture() == mark->graph) {
    if (capturing == mark->graph) return;
    if (capturing) throw Failure(Kind::capture, "an event of one captured graph joins another");
    mark->graph->join(stream);
    stream.set_capture(mark->graph);
    return;
  }
  if (capturing) {
    if (mark->done()) return;
    throw Failure(Kind::capture, "a captured stream waits for work that is not captured");
  }
  Task task;
  task.name = name;
  task.control = true;
  task.run = [mark] { mark->wait(-1); };
  submit(stream, std::move(task));
}

void Event::reset() {
  std::lock_guard<std::mutex> lock(mutex_);
  mark_ = nullptr;
}

bool Event::complete() const {
  const std::shared_ptr<Mark> mark = EventAccess::mark(*this);
  return !mark || mark->done();
}

bool Event::recorded() const { return EventAccess::mark(*this) != nullptr; }

void Event::synchronize(int timeout_ms) {
  const std::shared_ptr<Mark> mark = EventAccess::mark(*this);
  if (!mark) return;
  if (!mark->wait(timeout_ms)) {
    throw Failure(Kind::timeout,
                  "the event was not reached within " + std::to_string(timeout_ms) + " ms");
  }
  if (const Error error = mark->error()) throw Failure(error.code, error.text);
}

std::uint64_t Event::time_ns() const {
  if (!timing_) throw Failure(Kind::no_timing, "the event was created without timing");
  const std::shared_ptr<Mark> mark = EventAccess::mark(*this);
  if (!mark) throw Failure(Kind::no_timing, "the event was never recorded");
  if (!mark->done()) throw Failure(Kind::not_ready, "the event's record has not run yet");
  return mark->time_ns();
}

Event& create_event(bool timing, bool interprocess) {
  auto event = std::make_unique<Event>(timing, interprocess);
  if (interprocess) {
    const int number = take_event_slot();
    SharedEvent& slot = own_page().events[number];
    slot.recorded.store(0);
    slot.done.store(0);
    EventAccess::set_slot(*event, new SharedSlot{&slot, getpid(), own_page_file(), number});
  }
  return keep(std::move(event));
}

void destroy_event(void* handle) {
  Events& all = events();
  std::unique_ptr<Event> event;
  std::lock_guard<std::mutex> lock(all.mutex);
  auto found = all.live.find(handle);
  if (found == all.live.end()) throw Failure(Kind::invalid_handle, "not a live event to destroy");
  event = std::move(found->second);
  all.live.erase(found);
  // The slot of an interprocess event stays taken: another process may still look at it.
}

Event& event_of(void* handle) {
  Events& all = events();
  std::lock_guard<std::mutex> lock(all.mutex);
  auto found = all.live.find(handle);
  if (found == all.live.end()) {
    std::ostringstream text;
    text << handle << " is not a live event";
    throw Failure(Kind::invalid_handle, text.str());
  }
  return *found->second;
}

double elapsed_ms(const Event& start, const Event& end) {
  const auto from = static_cast<std::int64_t>(start.time_ns());
  const auto to = static_cast<std::int64_t>(end.time_ns());
  return static_cast<double>(to - from) * 1e-6;
}

std::string export_event(const Event& event) {
  const SharedSlot* slot = EventAccess::slot(event);
  if (!slot) throw Failure(Kind::ipc, "the event was not created for use between processes");
  return "event:" + std::to_string(slot->owner) + ":" + std::to_string(slot->page_file) + ":" +
         std::to_string(slot->number);
}

Event& import_event(const std::string& handle) {
  int pid = 0;
  int file = 0;
  int number = 0;
  if (std::sscanf(handle.c_str(), "event:%d:%d:%d", &pid, &file, &number) != 3 || number < 0 ||
      number >= SharedPage::kSlots) {
    throw Failure(Kind::ipc, "'" + handle + "' is not a handle of an event");
  }
  SharedEvent& slot = page_of(pid, file).events[number];
  if (slot.live.load() == 0) throw Failure(Kind::ipc, "the event of the handle does not exist");
  auto event = std::make_unique<Event>(false, true);
  EventAccess::set_slot(*event, new SharedSlot{&slot, pid, file, number});
  return keep(std::move(event));
}

}  // namespace accel_sim
