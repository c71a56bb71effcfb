// Events for Python.

#include <accel/errors.hpp>

#include "../runtime/event.hpp"
#include "bindings.hpp"
#include "submit.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cpu {
namespace {

void record(Event& event, py::handle stream) {
  const auto target = resolve_stream(stream);
  if (target->is_default()) {  // completes at once
    event.record(*target);
    return;
  }
  py::gil_scoped_release unlocked;
  event.record(*target);
}

void wait(Event& event, py::handle stream) {
  const auto target = resolve_stream(stream);
  const auto signal = event.snapshot();
  if (signal == nullptr || signal->done()) return;
  py::gil_scoped_release unlocked;
  target->wait(signal);
}

void synchronize(const Event& event) {
  const auto signal = event.snapshot();
  if (signal == nullptr) return;
  if (!signal->done()) {
    wait_interruptibly(
        [&](std::chrono::nanoseconds limit) { return wait_on_host(*signal, limit); });
  }
  settle_graveyard();
}

double elapsed_time(const Event& start, py::handle end) {
  py::detail::make_caster<std::shared_ptr<Event>> caster;
  if (!caster.load(end, false)) {
    accel::fail("DTypeError", "end", "an event of the cpu backend", accel::describe(end.ptr()));
  }
  return start.elapsed_ms(*py::detail::cast_op<std::shared_ptr<Event>>(caster));
}

std::string describe(const Event& event) {
  return "<accel_cpu.Event handle=" + std::to_string(event.handle()) +
         (event.timing() ? " timing" : "") + (event.interprocess() ? " interprocess" : "") + ">";
}

}  // namespace

void bind_events(py::module_& module) {
  py::class_<Event, std::shared_ptr<Event>>(module, "Event",
                                            "A re-recordable marker; see accel.providers.Event.")
      .def_property_readonly(
          "device", [](const Event&) { return cpu_device(); }, "torch.device('cpu')")
      .def_property_readonly("handle", &Event::handle, "a number of this process's own")
      .def("record", &record, "stream"_a = py::none(),
           "Snapshot all work given to `stream` (the current one if None).")
      .def("wait", &wait, "stream"_a = py::none(),
           "Later work on `stream` (the current one if None) waits for the newest snapshot.")
      .def("query", &Event::query,
           "True when the newest snapshot has completed, or nothing was ever recorded.")
      .def("synchronize", &synchronize, "Block until the newest snapshot has completed.")
      .def("elapsed_time", &elapsed_time, "end"_a,
           "Milliseconds from this event's completion to `end`'s.")
      .def(
          "ipc_handle", [](const Event& event) { return py::bytes(event.ipc_handle()); },
          "Bytes that Events.from_ipc_handle turns into this event in another process.")
      .def("__repr__", &describe);

  module.def(
      "create_event",
      [](bool timing, bool interprocess) { return std::make_shared<Event>(timing, interprocess); },
      py::kw_only(), "timing"_a = false, "interprocess"_a = false);
  module.def(
      "event_from_ipc_handle",
      [](const py::bytes& handle) { return Event::from_ipc_handle(std::string(handle)); },
      "handle"_a);
}

}  // namespace accel_cpu
