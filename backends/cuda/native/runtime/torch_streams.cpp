#include "torch_streams.hpp"

#include <accel/errors.hpp>

#include <vector>

#include "pending.hpp"

namespace py = pybind11;

namespace accel_cuda {
namespace {

struct Functions {
  PyObject* current_raw_stream = nullptr;  // (index) -> handle
  PyObject* current_stream = nullptr;      // (index) -> (stream id, device index, device type)
  PyObject* set_stream = nullptr;          // (*, stream_id, device_index, device_type)
  PyObject* get_device = nullptr;          // () -> index
  PyObject* set_device = nullptr;          // (index)
  PyObject* external_stream = nullptr;     // (handle, device) -> torch.cuda.ExternalStream
};
Functions torch;

// Integers that calls are made with, so that none has to be made for each.
PyObject* small_int(int value) {
  static std::vector<PyObject*> made(64, nullptr);
  if (value < 0 || value >= 64) return PyLong_FromLong(value);
  PyObject*& found = made[static_cast<std::size_t>(value)];
  if (found == nullptr) found = PyLong_FromLong(value);
  Py_XINCREF(found);
  return found;
}

struct Saved {
  const Device* device = nullptr;
  StreamHandle own = nullptr;  // without torch
  TorchStreamId id;
  int device_before = -1;  // torch's current device, when it was another
};

struct ThreadStreams {
  std::vector<Saved> entered;
  std::vector<StreamHandle> current = std::vector<StreamHandle>(256, nullptr);
};
ThreadStreams& this_thread() {
  static thread_local ThreadStreams streams;
  return streams;
}

accel::Ref call(PyObject* function, PyObject* argument) {
  return accel::checked(PyObject_CallOneArg(function, argument));
}

int as_int(PyObject* object) {
  const long value = PyLong_AsLong(object);
  if (value == -1 && PyErr_Occurred() != nullptr) throw accel::ErrorSet();
  return static_cast<int>(value);
}

void set_stream(const TorchStreamId& id) {
  static PyObject* const names = Py_BuildValue("(sss)", "stream_id", "device_index", "device_type");
  accel::Ref stream{accel::checked(PyLong_FromLongLong(id.stream_id))};
  accel::Ref index{accel::checked(small_int(id.device_index))};
  accel::Ref type{accel::checked(small_int(id.device_type))};
  PyObject* const arguments[] = {nullptr, stream.get(), index.get(), type.get()};
  accel::Ref done = accel::checked(PyObject_Vectorcall(
      torch.set_stream, arguments + 1, 0 | PY_VECTORCALL_ARGUMENTS_OFFSET, names));
}

TorchStreamId current_id(int index) {
  accel::Ref number{accel::checked(small_int(index))};
  accel::Ref triple = call(torch.current_stream, number.get());
  TorchStreamId id;
  if (!PyTuple_Check(triple.get()) || PyTuple_GET_SIZE(triple.get()) != 3) {
    accel::fail_message("AccelError", "torch._C._cuda_getCurrentStream returned " +
                                          accel::describe(triple.get()) + ", not three numbers");
  }
  id.stream_id = PyLong_AsLongLong(PyTuple_GET_ITEM(triple.get(), 0));
  if (id.stream_id == -1 && PyErr_Occurred() != nullptr) throw accel::ErrorSet();
  id.device_index = as_int(PyTuple_GET_ITEM(triple.get(), 1));
  id.device_type = as_int(PyTuple_GET_ITEM(triple.get(), 2));
  return id;
}

}  // namespace

void use_torch(const py::dict& functions) {
  const auto take = [&](const char* name, PyObject*& place) {
    Py_XDECREF(place);
    place = functions.contains(name) ? py::object(functions[name]).release().ptr() : nullptr;
  };
  take("current_raw_stream", torch.current_raw_stream);
  take("current_stream", torch.current_stream);
  take("set_stream", torch.set_stream);
  take("get_device", torch.get_device);
  take("set_device", torch.set_device);
  take("external_stream", torch.external_stream);
}

StreamHandle current_stream(const Device& device) {
  if (torch.current_raw_stream == nullptr) {
    return this_thread().current[static_cast<std::size_t>(device.index)];
  }
  accel::Ref index{accel::checked(small_int(device.index))};
  accel::Ref handle = call(torch.current_raw_stream, index.get());
  void* const raw = PyLong_AsVoidPtr(handle.get());
  if (raw == nullptr && PyErr_Occurred() != nullptr) throw accel::ErrorSet();
  return static_cast<StreamHandle>(raw);
}

void enter(const Device& device, StreamHandle stream, const TorchStreamId& id) {
  ThreadStreams& mine = this_thread();
  Saved saved;
  saved.device = &device;
  if (torch.current_raw_stream == nullptr) {
    StreamHandle& current = mine.current[static_cast<std::size_t>(device.index)];
    saved.own = current;
    mine.entered.push_back(saved);
    current = stream;
    return;
  }
  accel::Ref before = accel::checked(PyObject_CallNoArgs(torch.get_device));
  const int index = as_int(before.get());
  if (index != device.index) saved.device_before = index;
  saved.id = current_id(device.index);
  set_stream(id);  // makes its device torch's current one as well
  mine.entered.push_back(saved);
}

void leave(const Device& device) {
  ThreadStreams& mine = this_thread();
  if (mine.entered.empty() || mine.entered.back().device != &device) {
    accel::fail_message("StateError",
                        "a stream is left on a thread, or in an order, in which it was not "
                        "entered");
  }
  const Saved saved = mine.entered.back();
  mine.entered.pop_back();
  if (torch.current_raw_stream == nullptr) {
    mine.current[static_cast<std::size_t>(device.index)] = saved.own;
    return;
  }
  set_stream(saved.id);
  if (saved.device_before >= 0) {
    accel::Ref index{accel::checked(small_int(saved.device_before))};
    accel::Ref done = call(torch.set_device, index.get());
  }
}

py::object torch_object(const Device& device, StreamHandle stream) {
  if (torch.external_stream == nullptr) {
    accel::fail_capability("streams.torch", "cuda",
                           "this torch has no streams for the device: install one built for CUDA "
                           "or ROCm");
  }
  accel::Ref handle{accel::checked(PyLong_FromVoidPtr(stream))};
  accel::Ref index{accel::checked(small_int(device.index))};
  return py::reinterpret_steal<py::object>(
      accel::checked(PyObject_CallFunctionObjArgs(torch.external_stream, handle.get(), index.get(),
                                                  nullptr))
          .release());
}

void record_use(Runtime& runtime, StreamHandle stream, PyObject* tensor) {
  if (is_capturing(stream)) {
    keep_in_graph(runtime, stream, &tensor, 1);
    return;
  }
  StreamState& state = runtime.state(stream);
  if (state.torch_stream == nullptr) {
    if (torch.external_stream == nullptr) {  // no tensor can be on the device
      keep(runtime, stream, &tensor, 1);
      return;
    }
    state.torch_stream = torch_object(runtime.device, stream).release().ptr();
  }
  static PyObject* const name = PyUnicode_InternFromString("record_stream");
  accel::Ref done =
      accel::checked(PyObject_CallMethodOneArg(tensor, name, state.torch_stream));
}

}  // namespace accel_cuda
