// Graph capture: what is submitted to a stream is kept and can be run again.
#include <memory>
#include <mutex>
#include <unordered_map>

#include "accel_sim/graphs.hpp"
#include "api.hpp"

using namespace ascendcl;
using accel_sim::Graph;

namespace {

struct Models {
  std::mutex mutex;
  std::unordered_map<const void*, std::shared_ptr<Graph>> live;
};

Models& models() {
  static Models* const one = new Models;
  return *one;
}

std::shared_ptr<Graph> model_of(const void* handle) {
  std::lock_guard<std::mutex> lock(models().mutex);
  auto found = models().live.find(handle);
  if (found == models().live.end()) throw Failure(Kind::invalid_handle, "not a live model");
  return found->second;
}

thread_local int capture_mode = 0;

}  // namespace

ACL_EXPORT int aclmdlRICaptureBegin(void* stream, int mode) {
  return guarded("aclmdlRICaptureBegin", [&] {
    require_release(803, "aclmdlRICaptureBegin");
    if (mode < 0 || mode > 2) throw Failure(kInvalidParameter, "no such mode of capture");
    if (!stream) throw Failure(Kind::capture, "the default stream cannot be captured");
    accel_sim::Stream& known = accel_sim::stream_of(stream);
    if (known.capture()) throw Failure(Kind::capture, "the stream is captured already");
    auto graph = std::make_shared<Graph>();
    graph->join(known);
    known.set_capture(graph);
  });
}

ACL_EXPORT int aclmdlRICaptureEnd(void* stream, void** model) {
  return guarded("aclmdlRICaptureEnd", [&] {
    require_release(803, "aclmdlRICaptureEnd");
    void*& out = required(model, "modelRI");
    accel_sim::Stream& known = accel_sim::stream_of(stream);
    std::shared_ptr<Graph> graph = known.capture();
    if (!graph) throw Failure(kNotCaptured, "the stream is not captured");
    if (graph->origin() != &known) {
      throw Failure(Kind::capture, "a capture ends on the stream on which it began");
    }
    graph->end();
    std::lock_guard<std::mutex> lock(models().mutex);
    models().live[graph.get()] = graph;
    out = graph.get();
  });
}

ACL_EXPORT int aclmdlRICaptureGetInfo(void* stream, int* status, void** model) {
  return guarded("aclmdlRICaptureGetInfo", [&] {
    require_release(803, "aclmdlRICaptureGetInfo");
    const std::shared_ptr<Graph> graph = accel_sim::stream_of(stream).capture();
    if (status) *status = graph ? 1 : 0;
    if (model) *model = graph.get();
  });
}

ACL_EXPORT int aclmdlRICaptureThreadExchangeMode(int* mode) {
  return guarded("aclmdlRICaptureThreadExchangeMode", [&] {
    require_release(803, "aclmdlRICaptureThreadExchangeMode");
    std::swap(required(mode, "mode"), capture_mode);
  });
}

ACL_EXPORT int aclmdlRIExecuteAsync(void* model, void* stream) {
  return guarded("aclmdlRIExecuteAsync", [&] {
    require_release(803, "aclmdlRIExecuteAsync");
    model_of(model)->run_on(accel_sim::stream_of(stream));
  });
}

ACL_EXPORT int aclmdlRIDestroy(void* model) {
  return guarded("aclmdlRIDestroy", [&] {
    require_release(803, "aclmdlRIDestroy");
    model_of(model);
    std::lock_guard<std::mutex> lock(models().mutex);
    models().live.erase(model);
  });
}
