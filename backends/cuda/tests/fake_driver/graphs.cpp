// Stream capture, graphs, and what they keep alive. A graph's operations run one after another in
// the order of their capture, which is one of the orders that their dependencies allow.

#include "fake.hpp"

using namespace fake;

namespace {

std::atomic<std::uint64_t> made_captures{0};
std::atomic<long> alive_graphs{0};
thread_local int capture_mode = 0;

void release(UserObject* object) {
  if (object->references.fetch_sub(1) == 1) {
    object->destroy(object->pointer);
    delete object;
  }
}

std::shared_ptr<Graph> make_graph() {
  ++alive_graphs;
  return std::shared_ptr<Graph>(new Graph, [](Graph* graph) {
    for (UserObject* object : graph->objects) release(object);
    delete graph;
    --alive_graphs;
  });
}

// What a handle of a graph, or of one that can be launched, points to.
struct Holder {
  std::shared_ptr<Graph> graph;
  bool launched = false;
};
Registry<Holder>& holders() {
  static auto* only = new Registry<Holder>;
  return *only;
}
// Graphs that are still being captured are known by their address.
std::mutex open_mutex;
std::map<void*, std::shared_ptr<Graph>> open_graphs;

}  // namespace

FAKE_ENTRY long accel_fake_graphs() { return alive_graphs; }

FAKE_ENTRY int cuThreadExchangeStreamCaptureMode(int* mode) {
  std::swap(*mode, capture_mode);
  return 0;
}

FAKE_ENTRY int cuStreamIsCapturing(void* handle, int* status) {
  Stream* const stream = stream_of(handle);
  if (stream == nullptr) return kInvalidHandle;
  *status = stream->capture == nullptr ? 0 : stream->capture->valid ? 1 : 2;
  return 0;
}

FAKE_ENTRY int cuStreamGetCaptureInfo_v2(void* handle, int* status, std::uint64_t* id, void** graph,
                                         const void**, std::size_t*) {
  if (const int failed = cuStreamIsCapturing(handle, status)) return failed;
  if (*status == 0) return 0;
  const Capture& capture = *stream_of(handle)->capture;
  if (id != nullptr) *id = capture.id;
  if (graph != nullptr) *graph = capture.graph.get();
  return 0;
}

FAKE_ENTRY int cuStreamBeginCapture_v2(void* handle, int) {
  FAKE_INJECT("cuStreamBeginCapture_v2");
  if (handle == nullptr) return kCaptureUnsupported;
  Stream* const stream = streams().find(handle);
  if (stream == nullptr) return kInvalidHandle;
  if (stream->capture != nullptr) return kInvalidValue;
  auto capture = std::make_shared<Capture>();
  capture->id = ++made_captures;
  capture->origin = stream;
  capture->graph = make_graph();
  capture->streams[stream];
  {
    std::lock_guard<std::mutex> lock(open_mutex);
    open_graphs[capture->graph.get()] = capture->graph;
  }
  stream->capture = capture;
  return 0;
}

FAKE_ENTRY int cuStreamEndCapture(void* handle, void** graph) {
  *graph = nullptr;
  Stream* const stream = streams().find(handle);
  if (stream == nullptr) return kInvalidHandle;
  auto capture = stream->capture;
  if (capture == nullptr || capture->origin != stream) return kCaptureUnmatched;
  {
    std::lock_guard<std::mutex> lock(open_mutex);
    open_graphs.erase(capture->graph.get());
  }
  bool joined = true;
  const Before& origin = capture->streams[stream];
  for (auto& [other, before] : capture->streams) {
    other->capture = nullptr;
    const auto waited = origin.find(other);
    const std::size_t count = before[other];
    if (other != stream && count > (waited == origin.end() ? 0 : waited->second)) joined = false;
  }
  FAKE_INJECT("cuStreamEndCapture");  // the capture has ended all the same
  if (!capture->valid) return kCaptureInvalidated;
  if (!joined && !defect("accepts-unjoined")) return kCaptureUnjoined;
  *graph = holders().add(new Holder{capture->graph});
  return 0;
}

FAKE_ENTRY int cuGraphGetNodes(void* handle, void**, std::size_t* count) {
  Holder* const holder = holders().find(handle);
  if (holder == nullptr) return kInvalidHandle;
  *count = holder->graph->operations.size();
  return 0;
}

FAKE_ENTRY int cuGraphInstantiateWithFlags(void** made, void* handle, unsigned long long) {
  FAKE_INJECT("cuGraphInstantiateWithFlags");
  Holder* const holder = holders().find(handle);
  if (holder == nullptr) return kInvalidHandle;
  *made = holders().add(new Holder{holder->graph});
  return 0;
}

FAKE_ENTRY int cuGraphUpload(void*, void*) { return 0; }

FAKE_ENTRY int cuGraphLaunch(void* handle, void* stream_handle) {
  FAKE_INJECT("cuGraphLaunch");
  Holder* const holder = holders().find(handle);
  if (holder == nullptr) return kInvalidHandle;
  const auto graph = holder->graph;
  if (defect("replays-once") && holder->launched) return 0;
  holder->launched = true;
  return give(stream_of(stream_handle), [graph] {
    for (int times = defect("replays-twice") ? 2 : 1; times > 0; --times) {
      for (const auto& operation : graph->operations) operation();
    }
  });
}

FAKE_ENTRY int cuGraphExecDestroy(void* handle) {
  Holder* const holder = holders().find(handle);
  if (holder == nullptr) return kInvalidHandle;
  holders().remove(handle);
  delete holder;
  return 0;
}

FAKE_ENTRY int cuGraphDestroy(void* handle) { return cuGraphExecDestroy(handle); }

FAKE_ENTRY int cuUserObjectCreate(UserObject** made, void* pointer, void (*destroy)(void*),
                                  unsigned references, unsigned) {
  FAKE_INJECT("cuUserObjectCreate");
  *made = new UserObject{pointer, destroy, {static_cast<int>(references)}};
  return 0;
}

FAKE_ENTRY int cuUserObjectRelease(UserObject* object, unsigned count) {
  for (unsigned i = 0; i < count; ++i) release(object);
  return 0;
}

FAKE_ENTRY int cuGraphRetainUserObject(void* handle, UserObject* object, unsigned count, unsigned) {
  FAKE_INJECT("cuGraphRetainUserObject");
  std::lock_guard<std::mutex> lock(open_mutex);
  const auto found = open_graphs.find(handle);
  if (found == open_graphs.end() || count != 1) return kInvalidHandle;
  found->second->objects.push_back(object);
  return 0;
}
