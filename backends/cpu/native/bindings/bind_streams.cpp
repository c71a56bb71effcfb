// Streams for Python.

#include <accel/errors.hpp>
#include <accel/shared_segment.hpp>

#include "../runtime/event.hpp"
#include "../runtime/fault.hpp"
#include "../runtime/stream.hpp"
#include "bindings.hpp"
#include "submit.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace accel_cpu {

std::shared_ptr<Stream> resolve_stream(py::handle object, const char* argument) {
  if (object.is_none()) return Stream::current();
  py::detail::make_caster<std::shared_ptr<Stream>> caster;
  if (!caster.load(object, false)) {
    accel::fail("DTypeError", argument, "a stream of the cpu backend, or None",
                accel::describe(object.ptr()), "create streams with backend.streams.create()");
  }
  return py::detail::cast_op<std::shared_ptr<Stream>>(caster);
}

namespace {

std::shared_ptr<Event> as_event(py::handle object) {
  py::detail::make_caster<std::shared_ptr<Event>> caster;
  if (!caster.load(object, false)) {
    accel::fail("DTypeError", "event", "an event of the cpu backend", accel::describe(object.ptr()),
                "create events with backend.events.create()");
  }
  return py::detail::cast_op<std::shared_ptr<Event>>(caster);
}

void synchronize(Stream& stream) {
  wait_interruptibly([&](std::chrono::nanoseconds limit) { return stream.wait_idle(limit); });
  settle_graveyard();
  stream.throw_errors();
}

void synchronize_every_stream() {
  wait_interruptibly([](std::chrono::nanoseconds limit) { return synchronize_all(limit); });
  settle_graveyard();
  Stream::default_stream()->throw_errors();
  for (const auto& stream : Stream::all()) stream->throw_errors();
}

void add_callback(Stream& stream, py::object fn) {
  if (PyCallable_Check(fn.ptr()) == 0) {
    accel::fail("DTypeError", "fn", "a callable without arguments", accel::describe(fn.ptr()));
  }
  drain_graveyard();
  Task task([held = Keepalive({fn.ptr()})]() {
    py::gil_scoped_acquire gil;
    PyObject* result = PyObject_CallNoArgs(held.first());
    if (result == nullptr) std::rethrow_exception(take_python_error());
    Py_DECREF(result);
  });
  py::gil_scoped_release unlocked;
  stream.callback(std::move(task));
}

py::object record_event(Stream& stream, py::object event) {
  if (event.is_none()) event = py::cast(std::make_shared<Event>(false, false));
  const auto native = as_event(event);
  py::gil_scoped_release unlocked;
  native->record(stream);
  return event;
}

void wait_event(Stream& stream, py::handle event) {
  const auto native = as_event(event);
  const auto signal = native->snapshot();
  if (signal == nullptr || signal->done()) return;
  py::gil_scoped_release unlocked;
  stream.wait(signal);
}

void wait_stream(Stream& stream, py::handle other) {
  const auto native = resolve_stream(other);
  py::gil_scoped_release unlocked;
  stream.wait_stream(*native);
}

py::object enter(py::object self) {
  auto stream = py::cast<std::shared_ptr<Stream>>(self);
  {
    py::gil_scoped_release unlocked;
    stream->enter();
  }
  return self;
}

void exit(Stream& stream, const py::args&) {
  drain_graveyard();
  stream.exit();
}

std::string describe(const Stream& stream) {
  if (stream.is_default()) return "<accel_cpu.Stream default>";
  return "<accel_cpu.Stream handle=" + std::to_string(stream.handle()) +
         " priority=" + std::to_string(stream.priority()) + ">";
}

void shut_down() {
  wait_interruptibly([](std::chrono::nanoseconds limit) { return shutdown_streams(limit); });
  drain_graveyard();
  close_graveyard();
  accel::unlink_shared_segments();
}

}  // namespace

void bind_streams(py::module_& module) {
  set_idle_hook(drain_graveyard_from_worker);

  py::class_<Stream, std::shared_ptr<Stream>>(
      module, "Stream", "A first-in, first-out queue of work; see accel.providers.Stream.")
      .def_property_readonly(
          "device", [](const Stream&) { return cpu_device(); }, "torch.device('cpu')")
      .def_property_readonly("priority", &Stream::priority, "0 to -5; a lower number goes first")
      .def_property_readonly("handle", &Stream::handle,
                             "a number of this process's own; 0 is the default stream")
      .def("query", &Stream::query, "True exactly when all work given so far has completed.")
      .def("synchronize", &synchronize,
           "Block until all work given so far has completed; AsyncError if any of it failed.")
      .def("wait_event", &wait_event, "event"_a,
           "Later work waits for what `event` recorded before this call.")
      .def("wait_stream", &wait_stream, "stream"_a,
           "Later work waits for all work given to `stream` so far.")
      .def("record_event", &record_event, "event"_a = py::none(),
           "Record `event` (a new one without timing if None) here and return it.")
      .def("add_callback", &add_callback, "fn"_a,
           "Call `fn()` when all earlier work is done; later work waits for it.")
      .def(
          "as_torch",
          [](const Stream&) {
            accel::fail_capability(
                "streams.torch", "cpu",
                "torch has no working stream object for CPUs (torch.Stream on a CPU is inert): "
                "pass accel's streams, or use backend.stream(s) around torch operations");
          },
          "Raises CapabilityError: torch has no stream object for CPUs.")
      .def("__enter__", &enter)
      .def("__exit__", &exit)
      .def("__repr__", &describe);

  module.def("create_stream", &Stream::create, "priority"_a = 0);
  module.def("default_stream", &Stream::default_stream);
  module.def("current_stream", &Stream::current);
  module.def(
      "stream_from_handle",
      [](const py::int_& handle) {
        const unsigned long long value = PyLong_AsUnsignedLongLong(handle.ptr());
        if (PyErr_Occurred() != nullptr) {
          PyErr_Clear();
          accel::fail("ArgumentError", "handle", "the handle of a stream of this process",
                      accel::describe(handle.ptr()));
        }
        return Stream::from_handle(value);
      },
      "handle"_a);
  module.def("synchronize_all", &synchronize_every_stream);
  module.def("shutdown", &shut_down,
             "Run all queued work and end the workers; called when the program ends.");
  // No worker may touch an interpreter that is going away.
  py::module_::import("atexit").attr("register")(module.attr("shutdown"));
  module.attr("PRIORITY_RANGE") = py::make_tuple(Stream::kLeastPriority, Stream::kGreatestPriority);
}

}  // namespace accel_cpu
