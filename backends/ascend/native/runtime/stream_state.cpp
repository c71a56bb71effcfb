#include "stream_state.hpp"

#include <pybind11/pybind11.h>

#include <map>
#include <utility>

namespace accel_ascend {
namespace {

using States = std::map<std::pair<int, StreamHandle>, std::unique_ptr<StreamState>>;

States& states() {
  static auto* all = new States;  // the interpreter may be gone before it
  return *all;
}

}  // namespace

void* AclMarks::record() const {
  try {
    Current current(device_);
    EventHandle event = nullptr;
    if (!spare_.empty()) {
      event = spare_.back();
      spare_.pop_back();
    } else if (acl().create_event_ex != nullptr) {
      ACCEL_ACL_CALL(create_event_ex, &event, kEventSync);
    } else if (acl().create_event != nullptr) {
      ACCEL_ACL_CALL(create_event, &event, kEventSync);
    } else {
      return nullptr;
    }
    if (acl().record_event(event, stream_) == kSuccess) return event;
    spare_.push_back(event);
  } catch (const AclFault&) {
    // The process ends, or the device is lost: nothing runs any more.
  }
  return nullptr;
}

bool AclMarks::complete(void* event) const {
  try {
    Current current(device_);
    int status = kRecordComplete;
    return acl().query_event_status(event, &status) != kSuccess || status == kRecordComplete;
  } catch (const AclFault&) {
    return true;
  }
}

void AclMarks::release(void* event) const { spare_.push_back(event); }

StreamState& StreamState::of(int device, StreamHandle handle) {
  auto& found = states()[{device, handle}];
  if (found == nullptr) found = std::make_unique<StreamState>(device, handle);
  return *found;
}

std::vector<StreamState*> StreamState::all_of(int device) {
  std::vector<StreamState*> found;
  for (const auto& [key, state] : states()) {
    if (key.first == device) found.push_back(state.get());
  }
  return found;
}

std::size_t StreamState::count_kept() {
  std::size_t count = 0;
  for (const auto& [key, state] : states()) count += state->kept.count();
  return count;
}

void StreamState::release_passed() {
  std::vector<StreamState*> all;  // releasing may run any code
  for (const auto& [key, state] : states()) all.push_back(state.get());
  for (StreamState* state : all) state->kept.release_passed();
}

void wait_for(const StreamState& state) {
  pybind11::gil_scoped_release unlocked;
  Current current(state.device);
  ACCEL_ACL_CALL(synchronize_stream, state.handle);
}

}  // namespace accel_ascend
