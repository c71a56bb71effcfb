#include "graph.hpp"

#include <accel/errors.hpp>

#include <algorithm>
#include <string>
#include <unordered_map>

#include "faults.hpp"
#include "graveyard.hpp"
#include "pending.hpp"

namespace accel_cuda {
namespace {

// Captures of ours under way, by the driver's number for them. Guarded by the GIL.
std::unordered_map<std::uint64_t, Graph*>& captures() {
  static auto* only = new std::unordered_map<std::uint64_t, Graph*>;
  return *only;
}

std::uint64_t capture_id(StreamHandle stream) {
  if (driver().stream_capture_info == nullptr) return 0;
  int status = kCaptureNone;
  std::uint64_t id = 0;
  if (driver().stream_capture_info(stream, &status, &id, nullptr, nullptr, nullptr) != kSuccess ||
      status == kCaptureNone) {
    return 0;
  }
  return id;
}

void replay_is_over(void* runtime) {
  static_cast<Runtime*>(runtime)->callbacks_running.fetch_sub(1);
}

}  // namespace

Graph::Graph(std::shared_ptr<Stream> stream_)
    : stream(std::move(stream_)), runtime_(stream->runtime) {}

Graph::~Graph() {
  try {
    if (capturing_) end(false);
    Current current(runtime_.device);
    // Replays under way go on; the driver lets go of what they use when they are over.
    if (exec_ != nullptr) driver().graph_exec_destroy(exec_);
    if (graph_ != nullptr) driver().graph_destroy(graph_);
  } catch (const std::exception&) {
    // The context is lost: there is nothing left to release.
    PyErr_Clear();
  }
}

void Graph::begin() {
  if (capturing_ || ready()) {
    accel::fail_message("StateError",
                        "a graph is captured once. Cure: make another with streams.capture()");
  }
  if (stream->handle == nullptr) {
    accel::fail("ArgumentError", "stream", "a created stream", "the default stream",
                "the default stream cannot be captured: use backend.streams.create()");
  }
  if (is_capturing(stream->handle)) {
    accel::fail_message("StateError",
                        "the stream is being captured already. Cure: end that capture first");
  }
  drain_graveyard();
  Current current(runtime_.device);
  // Relaxed: what other threads, torch's allocator and the loading of kernels do meanwhile is no
  // part of the capture and does not break it; what would be refused here is refused by us.
  ACCEL_CUDA_CALL(stream_begin_capture, stream->handle, kCaptureModeRelaxed);
  capturing_ = true;
  capture_id_ = capture_id(stream->handle);
  captures()[capture_id_] = this;
  touched_ = {&stream->state};
}

void Graph::end(bool keep) {
  if (!capturing_) return;
  capturing_ = false;
  captures().erase(capture_id_);
  Current current(runtime_.device);
  const Result ended = driver().stream_end_capture(stream->handle, &graph_);
  if (!keep) {
    if (graph_ != nullptr) driver().graph_destroy(graph_);
    graph_ = nullptr;
    drain_graveyard();
    return;
  }
  check(ended, Entry::stream_end_capture);
  if (driver().graph_nodes != nullptr) ACCEL_CUDA_CALL(graph_nodes, graph_, nullptr, &nodes_);
  ACCEL_CUDA_CALL(graph_instantiate, &exec_, graph_, 0);
}

void Graph::replay(StreamHandle on) {
  if (!ready()) {
    accel::fail_message(
        "StateError",
        capturing_ ? "the graph is still being captured. Cure: replay it after the `with` block"
                   : "the graph was not captured: its `with` block was never entered, or failed");
  }
  StreamState& state = runtime_.state(on);
  for (StreamState* captured : touched_) {
    if (captured == &state) continue;
    if (std::find(state.replayed.begin(), state.replayed.end(), captured) == state.replayed.end()) {
      state.replayed.push_back(captured);
    }
  }
  Submission submission(runtime_);
  if (!has_callbacks_) {
    ACCEL_CUDA_CALL(graph_launch, exec_, on);
    return;
  }
  // Its callbacks need the GIL: until they are over no call may hold that in the driver.
  runtime_.callbacks_running.fetch_add(1);
  const Result launched = driver().graph_launch(exec_, on);
  const Result counted = launched == kSuccess
                             ? driver().launch_host_function(on, replay_is_over, &runtime_)
                             : kSuccess;
  if (launched != kSuccess || counted != kSuccess) runtime_.callbacks_running.fetch_sub(1);
  check(launched, Entry::graph_launch);
  check(counted, Entry::launch_host_function);
}

Graph* Graph::capturing_into(StreamHandle handle) {
  if (captures().empty()) return nullptr;
  const auto found = captures().find(capture_id(handle));
  return found == captures().end() ? nullptr : found->second;
}

void Graph::note(Runtime& runtime, StreamHandle handle) {
  Graph* const graph = capturing_into(handle);
  if (graph == nullptr) return;
  StreamState* const state = &runtime.state(handle);
  auto& touched = graph->touched_;
  if (std::find(touched.begin(), touched.end(), state) != touched.end()) return;
  touched.push_back(state);
  if (auto owner = state->object.lock()) graph->streams_.push_back(std::move(owner));
}

void Graph::note_callback(Runtime& runtime, StreamHandle handle) {
  note(runtime, handle);
  if (Graph* const graph = capturing_into(handle)) graph->has_callbacks_ = true;
}

}  // namespace accel_cuda
