// Events for Python.

#include <accel/errors.hpp>

#include "bindings.hpp"
#include "runtime/event.hpp"
#include "runtime/stream.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cuda {
namespace {

void record(Event& event, py::handle stream) {
  event.record(resolve_stream(stream, event.device()));
}

// The stream may be another device's.
void wait(Event& event, py::handle stream) {
  if (stream.is_none()) {
    event.wait(current_stream(event.device()));
    return;
  }
  Stream* const target = as_stream(stream);
  if (target == nullptr || &target->device() == &event.device()) {
    event.wait(resolve_stream(stream, event.device()));
    return;
  }
  target->wait_event(event);
}

double elapsed_time(const Event& start, py::handle end) {
  py::detail::make_caster<Event> caster;
  if (!caster.load(end, false)) {
    accel::fail("DTypeError", "end", "an event of the cuda backend", accel::describe(end.ptr()));
  }
  return start.elapsed_ms(py::detail::cast_op<Event&>(caster));
}

std::string describe(const Event& event) {
  return "<accel_cuda.Event handle=" +
         std::to_string(reinterpret_cast<std::uintptr_t>(event.handle())) + " device=cuda:" +
         std::to_string(event.device().index) + (event.timing ? " timing" : "") +
         (event.interprocess ? " interprocess" : "") + ">";
}

}  // namespace

void bind_events(py::module_& module) {
  py::class_<Event, std::shared_ptr<Event>>(module, "Event",
                                            "A re-recordable marker; see accel.providers.Event.")
      .def_property_readonly(
          "device", [](const Event& event) { return torch_device(event.device().index); })
      .def_property_readonly(
          "handle",
          [](const Event& event) { return reinterpret_cast<std::uintptr_t>(event.handle()); },
          "The CUevent (hipEvent_t) as an integer.")
      .def_readonly("timing", &Event::timing)
      .def("record", &record, "stream"_a = py::none(),
           "Snapshot all work given to `stream` (the current one if None).")
      .def("wait", &wait, "stream"_a = py::none(),
           "Later work on `stream` (the current one if None) waits for the newest snapshot.")
      .def("query", &Event::query,
           "True when the newest snapshot has completed, or nothing was ever recorded.")
      .def("synchronize", &Event::synchronize,
           "Block until the newest snapshot has completed.")
      .def("elapsed_time", &elapsed_time, "end"_a,
           "Milliseconds from this event's completion to `end`'s.")
      .def(
          "ipc_handle", [](Event& event) { return py::bytes(event.ipc_handle()); },
          "Bytes that Events.from_ipc_handle turns into this event in another process.")
      .def("__repr__", &describe);

  module.def(
      "create_event",
      [](int index, bool timing, bool interprocess) {
        return Event::create(Device::get(index), timing, interprocess);
      },
      "device_index"_a, py::kw_only(), "timing"_a = false, "interprocess"_a = false);
  module.def(
      "event_from_ipc_handle",
      [](int index, const py::bytes& handle) {
        return Event::from_ipc_handle(Device::get(index), std::string(handle));
      },
      "device_index"_a, "handle"_a);
}

}  // namespace accel_cuda
