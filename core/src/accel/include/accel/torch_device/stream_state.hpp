// What this process keeps for a stream, beside the vendor's and torch's own: how far it has got,
// and what its work keeps alive. The GIL guards it.
//
//   StreamState& state = StreamState::of(device, handle);   // made on first use, never destroyed
//
// Streams are torch's, which are never destroyed.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "../kept_references.hpp"
#include "../stream_marks.hpp"
#include "runtime.hpp"

namespace accel {

class EventMarks : public StreamMarks {
 public:
  EventMarks(int device, StreamHandle stream) : device_(device), stream_(stream) {}

 protected:
  void* record() const override {
    try {
      OnDevice current(device_);
      EventHandle event = nullptr;
      if (spare_.empty()) {
        event = runtime().new_event();
      } else {
        event = spare_.back();
        spare_.pop_back();
      }
      if (event == nullptr || runtime().record(event, stream_)) return event;
      spare_.push_back(event);
    } catch (const RuntimeFault&) {
      // The process ends, or the device is lost: nothing runs any more.
    }
    return nullptr;
  }

  bool complete(void* event) const override {
    try {
      OnDevice current(device_);
      return runtime().complete(event);
    } catch (const RuntimeFault&) {
      return true;
    }
  }

  void release(void* event) const override { spare_.push_back(event); }

 private:
  const int device_;
  const StreamHandle stream_;
  mutable std::vector<EventHandle> spare_;
};

struct StreamState {
  StreamState(int device_, StreamHandle handle_)
      : device(device_),
        handle(handle_),
        marks(std::make_shared<EventMarks>(device_, handle_)),
        kept(marks) {}

  static StreamState& of(int device, StreamHandle handle) {
    auto& found = states()[{device, handle}];
    if (found == nullptr) found = std::make_unique<StreamState>(device, handle);
    return *found;
  }

  static std::vector<StreamState*> all_of(int device) {
    std::vector<StreamState*> found;
    for (const auto& [key, state] : states()) {
      if (key.first == device) found.push_back(state.get());
    }
    return found;
  }

  // Of every stream that was asked for.
  static std::size_t count_kept() {
    std::size_t count = 0;
    for (const auto& [key, state] : states()) count += state->kept.count();
    return count;
  }

  static void release_passed() {
    std::vector<StreamState*> all;  // releasing may run any code
    for (const auto& [key, state] : states()) all.push_back(state.get());
    for (StreamState* state : all) state->kept.release_passed();
  }

  // All work given so far, or at least that.
  StreamPoint point() const { return {marks, marks->next()}; }
  StreamPoint exact_point() const { return {marks, marks->next_exact()}; }

  // Blocks until the stream's work so far has run; lets go of the GIL.
  void wait() const {
    pybind11::gil_scoped_release unlocked;
    OnDevice current(device);
    runtime().synchronize(handle);
  }

  const int device;
  const StreamHandle handle;
  const std::shared_ptr<EventMarks> marks;
  KeptReferences kept;

 private:
  using States = std::map<std::pair<int, StreamHandle>, std::unique_ptr<StreamState>>;

  static States& states() {
    static auto* all = new States;  // the interpreter may be gone before it
    return *all;
  }
};

}  // namespace accel
