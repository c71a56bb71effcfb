// Streams and graphs for Python.

#include <sys/mman.h>

#include <accel/errors.hpp>

#include <tuple>

#include "bindings.hpp"
#include "driver/launch.hpp"
#include "runtime/callbacks.hpp"
#include "runtime/event.hpp"
#include "runtime/graph.hpp"
#include "runtime/pending.hpp"
#include "runtime/stream.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cuda {
namespace {

Event& as_event(py::handle object) {
  py::detail::make_caster<Event> caster;
  if (!caster.load(object, false)) {
    accel::fail("DTypeError", "event", "an event of the cuda backend",
                accel::describe(object.ptr()), "create events with backend.events.create()");
  }
  return py::detail::cast_op<Event&>(caster);
}

py::object record_event(Stream& stream, py::object event) {
  if (event.is_none()) event = py::cast(Event::create(stream.device(), false, false));
  Event& native = as_event(event);
  if (&native.device() != &stream.device()) {
    accel::fail("DeviceError", "event",
                "an event of device cuda:" + std::to_string(stream.device().index),
                "one of cuda:" + std::to_string(native.device().index));
  }
  native.record(stream.handle);
  return event;
}

void wait_stream(Stream& stream, py::handle other) {
  Stream* const native = as_stream(other);
  if (native == nullptr) {
    resolve_stream(other, stream.device());  // raises for anything but None
    stream.wait_stream(*Stream::current(stream.device()));
    return;
  }
  stream.wait_stream(*native);
}

py::object enter_stream(py::object self) {
  auto& stream = py::cast<Stream&>(self);
  enter(stream.device(), stream.handle, stream.torch_id);
  return self;
}

void leave_stream(Stream& stream, const py::args&) { leave(stream.device()); }

// The object it was adopted from; else a new one, which keeps ours from getting another owner.
py::object as_torch(const py::object& self) {
  if (py::hasattr(self, "_torch")) return self.attr("_torch");
  const auto& stream = py::cast<const Stream&>(self);
  py::object made = torch_object(stream.device(), stream.handle);
  made.attr("_accel_stream") = self;
  return made;
}

// Refuses what is certainly no stream of the device, as the driver would follow any number.
void check_handle(const Device& device, std::uintptr_t handle) {
  const auto refuse = [&](const std::string& given) {
    accel::fail("ArgumentError", "handle",
                "the handle of a live stream of device cuda:" + std::to_string(device.index),
                given);
  };
  if (handle == 0) return;
  constexpr std::uintptr_t kPage = 4096;
  unsigned char resident = 0;
  if (mincore(reinterpret_cast<void*>(handle & ~(kPage - 1)), 1, &resident) != 0) {
    refuse(std::to_string(handle) + ", which is no address of this process");
  }
  if (driver().stream_context == nullptr) return;
  ContextHandle context = nullptr;
  Current current(device);
  const Result result =
      driver().stream_context(reinterpret_cast<StreamHandle>(handle), &context);
  if (result != kSuccess) refuse("one that the driver does not know: " + result_name(result));
  if (context != device.context) refuse("one of another device");
}

std::string describe(const Stream& stream) {
  const std::string device = " device=cuda:" + std::to_string(stream.device().index);
  if (stream.handle == nullptr) return "<accel_cuda.Stream default" + device + ">";
  return "<accel_cuda.Stream handle=" +
         std::to_string(reinterpret_cast<std::uintptr_t>(stream.handle)) + device +
         " priority=" + std::to_string(stream.priority) + ">";
}

py::object enter_graph(py::object self) {
  auto& graph = py::cast<Graph&>(self);
  graph.begin();
  try {
    enter(graph.stream->device(), graph.stream->handle, graph.stream->torch_id);
  } catch (...) {
    graph.end(false);
    throw;
  }
  return self;
}

void leave_graph(Graph& graph, const py::object& type, const py::object&, const py::object&) {
  const bool keep = type.is_none();
  leave(graph.stream->device());
  graph.end(keep);
}

}  // namespace

void bind_streams(py::module_& module) {
  py::class_<Stream, std::shared_ptr<Stream>>(
      module, "Stream", py::dynamic_attr(),
      "A first-in, first-out queue of work; see accel.providers.Stream.")
      .def_property_readonly(
          "device", [](const Stream& stream) { return torch_device(stream.device().index); })
      .def_readonly("priority", &Stream::priority, "a lower number goes first")
      .def_property_readonly(
          "handle",
          [](const Stream& stream) { return reinterpret_cast<std::uintptr_t>(stream.handle); },
          "The CUstream (hipStream_t) as an integer; 0 is the default stream.")
      .def_property_readonly(
          "capturing", [](const Stream& stream) { return is_capturing(stream.handle); },
          "True while the work given to the stream goes into a graph, ours or torch's.")
      .def("query", &Stream::query, "True exactly when all work given so far has completed.")
      .def("synchronize", &Stream::synchronize,
           "Block until all work given so far has completed; AsyncError if any of it failed.")
      .def(
          "wait_event",
          [](Stream& stream, py::handle event) { stream.wait_event(as_event(event)); }, "event"_a,
          "Later work waits for what `event` recorded before this call.")
      .def("wait_stream", &wait_stream, "stream"_a,
           "Later work waits for all work given to `stream` so far.")
      .def("record_event", &record_event, "event"_a = py::none(),
           "Record `event` (a new one without timing if None) here and return it.")
      .def(
          "add_callback", [](Stream& stream, py::handle fn) { stream.add_callback(fn.ptr()); },
          "fn"_a, "Call `fn()` when all earlier work is done; later work waits for it.")
      .def("as_torch", &as_torch, "This stream as a torch.cuda.Stream.")
      .def("__enter__", &enter_stream)
      .def("__exit__", &leave_stream)
      .def("__repr__", &describe);

  py::class_<Graph, std::shared_ptr<Graph>>(
      module, "Graph", "Captured work that can be replayed; see accel.providers.Graph.")
      .def_property_readonly("stream", [](const Graph& graph) { return graph.stream; },
                             "The stream that was captured.")
      .def_property_readonly("nodes", &Graph::nodes, "Operations in the graph.")
      .def(
          "replay",
          [](Graph& graph, py::handle stream) {
            graph.replay(resolve_stream(stream, graph.stream->device()));
          },
          "stream"_a = py::none(), "Run the captured work on `stream` (the current one if None).")
      .def("__enter__", &enter_graph)
      .def("__exit__", &leave_graph);

  module.def(
      "create_stream",
      [](int index, int priority) { return Stream::create(Device::get(index), priority); },
      "device_index"_a, "priority"_a = 0);
  module.def(
      "adopt_stream",
      [](int index, std::uintptr_t handle) {
        const Device& device = Device::get(index);
        check_handle(device, handle);
        return Stream::adopt(device, reinterpret_cast<StreamHandle>(handle));
      },
      "device_index"_a, "handle"_a);
  module.def(
      "set_torch_id",
      [](Stream& stream, std::int64_t stream_id, int device_index, int device_type) {
        stream.torch_id = {stream_id, device_index, device_type};
      },
      "stream"_a, "stream_id"_a, "device_index"_a, "device_type"_a,
      "How torch calls this stream, where that is not by its handle.");
  module.def("current_stream", [](int index) { return Stream::current(Device::get(index)); },
             "device_index"_a);
  module.def("priority_range", [](int index) {
    const Device& device = Device::get(index);
    return py::make_tuple(device.least_priority(), device.greatest_priority());
  });
  module.def("synchronize_device", [](int index) { synchronize_device(Device::get(index)); },
             "device_index"_a);
  module.def("capture",
             [](const std::shared_ptr<Stream>& stream) { return std::make_shared<Graph>(stream); },
             "stream"_a);
  module.def("supports_graphs", [] {
    return driver().stream_begin_capture != nullptr && driver().graph_launch != nullptr &&
           driver().stream_capture_info != nullptr && driver().graph_instantiate != nullptr &&
           driver().stream_end_capture != nullptr && driver().user_object_create != nullptr &&
           driver().graph_retain_user_object != nullptr && driver().stream_is_capturing != nullptr;
  });
  module.def("use_torch", &use_torch, "functions"_a,
             "Give torch's own functions for its current stream and device; see streams.py.");
  module.def(
      "held_references", [](int index) { return held_count(Runtime::of(Device::get(index))); },
      "device_index"_a, "References that wait for work to complete, for tests.");
  module.def(
      "keep",
      [](const Stream& stream, const py::args& objects) {
        std::vector<PyObject*> all;
        for (py::handle object : objects) all.push_back(object.ptr());
        keep(stream.runtime, stream.handle, all.data(), all.size());
      },
      "Keep objects alive until the stream has run what it has now.");
  module.def(
      "record_use",
      [](const Stream& stream, py::handle tensor) {
        record_use(stream.runtime, stream.handle, tensor.ptr());
      },
      "stream"_a, "tensor"_a, "tensor.record_stream(stream); a graph holds it during a capture.");
  module.def(
      "fault_address",
      [](const Stream& stream) { return stream.state.fault_address(); }, "stream"_a,
      "Where a kernel on this stream reports a fault: the record's address for the device.");
  module.def(
      "launch",
      [](const Stream& stream, std::uintptr_t kernel,
         const std::tuple<unsigned, unsigned, unsigned>& grid, unsigned block,
         unsigned shared_bytes, const py::bytes& args) {
        const std::string bytes = args;
        Submission submission(stream.runtime);
        launch(stream.device(), reinterpret_cast<Function>(kernel),
               {std::get<0>(grid), std::get<1>(grid), std::get<2>(grid)}, block, shared_bytes,
               stream.handle, bytes.data());
      },
      "stream"_a, "function"_a, "grid"_a, "block"_a, "shared_bytes"_a, "args"_a,
      "Queue one launch of a kernel whose only argument is the struct `args`.");
  module.def("finish_callbacks", &finish_callbacks,
             "Wait for host callbacks; called when the program ends.");
  prepare_callbacks();
  // No worker may touch an interpreter that is going away.
  py::module_::import("atexit").attr("register")(module.attr("finish_callbacks"));
}

}  // namespace accel_cuda
