#include "host_functions.hpp"

#include <accel/errors.hpp>
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

namespace accel_ascend {
namespace {

std::atomic<int> waiting{0};
std::atomic<bool> closed{false};
std::atomic<unsigned> launched_in{0};  // fork generation: a child's streams do not run

struct HostFill {
  accel::StridedPlan plan;
  char* dst;
  std::uint8_t value;
};

struct PythonCall {
  PyObject* run;
};

struct HostCopy {
  accel::StridedPlan plan;
  char* dst;
  const char* src;
};

void run_python(void* argument) {
  const std::unique_ptr<PythonCall> call(static_cast<PythonCall*>(argument));
  if (!closed.load()) {
    const PyGILState_STATE gil = PyGILState_Ensure();
    PyObject* result = PyObject_CallNoArgs(call->run);
    if (result == nullptr) PyErr_WriteUnraisable(call->run);
    Py_XDECREF(result);
    Py_DECREF(call->run);
    PyGILState_Release(gil);
  }
  waiting.fetch_sub(1);
}

void run_copy(void* argument) {
  const std::unique_ptr<HostCopy> copy(static_cast<HostCopy*>(argument));
  copy_on_host(copy->plan, copy->dst, copy->src);
  waiting.fetch_sub(1);
}

void run_fill(void* argument) {
  const std::unique_ptr<HostFill> fill(static_cast<HostFill*>(argument));
  fill_on_host(fill->plan, fill->dst, fill->value);
  waiting.fetch_sub(1);
}

void fill_dims(const accel::StridedPlan& plan, std::size_t axis, char* dst, std::uint8_t value) {
  if (axis == plan.dims().size()) {
    std::memset(dst, value, plan.run());
    return;
  }
  const auto& dim = plan.dims()[axis];
  for (std::int64_t i = 0; i < dim.extent; ++i) fill_dims(plan, axis + 1, dst + i * dim.dst, value);
}

void copy_dims(const accel::StridedPlan& plan, std::size_t axis, char* dst, const char* src) {
  if (axis == plan.dims().size()) {
    std::memcpy(dst, src, plan.run());
    return;
  }
  const auto& dim = plan.dims()[axis];
  for (std::int64_t i = 0; i < dim.extent; ++i) {
    copy_dims(plan, axis + 1, dst + i * dim.dst, src + i * dim.src);
  }
}

template <class Argument>
void launch(StreamState& state, HostFunction function, std::unique_ptr<Argument> argument) {
  if (launched_in.exchange(accel::fork_generation()) != accel::fork_generation()) waiting.store(0);
  waiting.fetch_add(1);
  Result result;
  {
    pybind11::gil_scoped_release unlocked;
    try {
      Current current(state.device);
      result = acl().launch_host_func(state.handle, function, argument.get());
    } catch (...) {
      waiting.fetch_sub(1);
      throw;
    }
  }
  if (result != kSuccess) {
    waiting.fetch_sub(1);
    throw_acl_fault(result, Entry::launch_host_func);
  }
  argument.release();
}

}  // namespace

bool has_host_functions() noexcept { return acl().launch_host_func != nullptr; }

int functions_waiting() noexcept { return waiting.load(); }

void launch_python(StreamState& state, PyObject* run) {
  Py_INCREF(run);
  try {
    launch(state, run_python, std::make_unique<PythonCall>(PythonCall{run}));
  } catch (...) {
    Py_DECREF(run);
    throw;
  }
}

void launch_copy(StreamState& state, const accel::StridedPlan& plan, char* dst, const char* src) {
  launch(state, run_copy, std::make_unique<HostCopy>(HostCopy{plan, dst, src}));
}

void launch_fill(StreamState& state, const accel::StridedPlan& plan, char* dst,
                 std::uint8_t value) {
  launch(state, run_fill, std::make_unique<HostFill>(HostFill{plan, dst, value}));
}

void fill_on_host(const accel::StridedPlan& plan, char* dst, std::uint8_t value) {
  fill_dims(plan, 0, dst, value);
}

void copy_on_host(const accel::StridedPlan& plan, char* dst, const char* src) {
  copy_dims(plan, 0, dst, src);
}

void finish_functions() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (accel::fork_generation() == launched_in.load() && waiting.load() > 0 && std::chrono::steady_clock::now() < deadline) {
    pybind11::gil_scoped_release unlocked;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  closed.store(true);
}

}  // namespace accel_ascend
