#include "pending.hpp"

#include <utility>

#include "capture_mode.hpp"
#include "graph.hpp"
#include "graveyard.hpp"

namespace accel_cuda {
namespace {

std::vector<PyObject*> owned(PyObject* const* objects, std::size_t count) {
  std::vector<PyObject*> taken;
  taken.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (objects[i] == nullptr || objects[i] == Py_None) continue;
    Py_INCREF(objects[i]);
    taken.push_back(objects[i]);
  }
  return taken;
}

void release(std::vector<PyObject*>& objects) {
  for (PyObject* object : objects) Py_DECREF(object);
}

// Recording an event takes a microsecond: references wait for one together, until there are so many
// of them or somebody looks.
constexpr std::size_t kTogether = 16;

// Whether the stream will be there when somebody looks.
bool is_lasting(const StreamState& state) {
  constexpr std::uintptr_t kLastDefaultStream = 2;
  return state.ours || reinterpret_cast<std::uintptr_t>(state.handle) <= kLastDefaultStream;
}

}  // namespace

void keep(Runtime& runtime, StreamHandle stream, PyObject* const* objects, std::size_t count) {
  drain_graveyard();
  if (is_capturing(stream)) {
    keep_in_graph(runtime, stream, objects, count);
    return;
  }
  StreamState& state = runtime.state(stream);
  release_passed(runtime, state, 2);
  for (PyObject* object : owned(objects, count)) state.open.push_back(object);
  if (state.open.size() >= kTogether || !is_lasting(state)) seal(runtime, state);
}

void seal(Runtime& runtime, StreamState& state) {
  if (state.open.empty() || is_capturing(state.handle)) return;
  Held held;
  held.objects.swap(state.open);  // others may keep more while this lets go of the GIL
  try {
    Current current(runtime.device);
    held.event = runtime.take_event();
    Submission submission(runtime);
    ACCEL_CUDA_CALL(event_record, held.event, state.handle);
  } catch (...) {
    state.open.insert(state.open.end(), held.objects.begin(), held.objects.end());
    if (held.event != nullptr) runtime.give_event(held.event);
    throw;
  }
  state.held.push_back(std::move(held));
}

void keep_in_graph(Runtime& runtime, StreamHandle stream, PyObject* const* objects,
                   std::size_t count) {
  Graph::note(runtime, stream);
  std::vector<PyObject*> taken = owned(objects, count);
  if (taken.empty()) return;
  int status = kCaptureNone;
  std::uint64_t id = 0;
  GraphHandle graph = nullptr;
  ACCEL_CUDA_CALL(stream_capture_info, stream, &status, &id, &graph, nullptr, nullptr);
  auto* bundle = new std::vector<PyObject*>(std::move(taken));
  const auto destroy = [](void* held) {
    auto* objects_of_graph = static_cast<std::vector<PyObject*>*>(held);
    bury(std::move(*objects_of_graph));
    delete objects_of_graph;
  };
  UserObjectHandle object = nullptr;
  const Result made =
      driver().user_object_create(&object, bundle, destroy, 1, kUserObjectNoDestructorSync);
  if (made != kSuccess) {
    release(*bundle);
    delete bundle;
    throw_driver_fault(made, Entry::user_object_create);
  }
  const Result retained =
      driver().graph_retain_user_object(graph, object, 1, kGraphUserObjectMove);
  if (retained != kSuccess) {
    driver().user_object_release(object, 1);
    throw_driver_fault(retained, Entry::graph_retain_user_object);
  }
}

void release_passed(Runtime& runtime, StreamState& state, int most) {
  if (state.held.empty()) return;
  std::vector<PyObject*> dead;
  {
    UnrelatedToCaptures unrelated;
    while (most-- > 0 && !state.held.empty()) {
      Held& oldest = state.held.front();
      const Result result = driver().event_query(oldest.event);
      if (result == kNotReady) break;
      // Any other error is the next synchronisation's to report; the work will not run any more.
      runtime.give_event(oldest.event);
      dead.insert(dead.end(), oldest.objects.begin(), oldest.objects.end());
      state.held.pop_front();
    }
  }
  release(dead);  // may run any code, so when the queue is consistent
}

void release_all(Runtime& runtime, StreamState& state) {
  drain_graveyard();
  seal(runtime, state);
  if (state.held.empty()) return;
  // Not all of them for certain: another thread may have given the stream work meanwhile.
  release_passed(runtime, state, static_cast<int>(state.held.size()));
}

void collect(Runtime& runtime) {
  drain_graveyard();
  const std::size_t count = runtime.states().size();
  for (std::size_t i = 0; i < count; ++i) {
    StreamState& state = *runtime.states()[i];
    seal(runtime, state);
    release_passed(runtime, state, static_cast<int>(state.held.size()));
  }
}

std::size_t held_count(const Runtime& runtime) {
  std::size_t count = 0;
  for (const auto& state : runtime.states()) {
    count += state->open.size();
    for (const Held& held : state->held) count += held.objects.size();
  }
  return count;
}

}  // namespace accel_cuda
