// Work for the host in a stream's order, through the vendor's host callbacks.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "../fork.hpp"
#include "../host_runs.hpp"
#include "stream_state.hpp"

namespace accel {

class HostFunctions {
 public:
  // Calls `run()`, which must not raise, once the stream gets there. The GIL must be held.
  static void launch_python(const StreamState& state, PyObject* run) {
    Py_INCREF(run);
    try {
      launch(state, [run] { call_python(run); });
    } catch (...) {
      Py_DECREF(run);
      throw;
    }
  }

  // Copies host memory, the plan's bytes, once the stream gets there: no thread of the caller
  // waits.
  static void launch_copy(const StreamState& state, const StridedPlan& plan, char* dst,
                          const char* src) {
    launch(state, [plan, dst, src] { copy_on_host(plan, dst, src); });
  }

  static void launch_fill(const StreamState& state, const StridedPlan& plan, char* dst,
                          std::uint8_t value) {
    launch(state, [plan, dst, value] { fill_on_host(plan, dst, value); });
  }

  // Functions that have not run yet, of Python and of copies: what they write is not there.
  static int waiting() noexcept { return counts().waiting.load(); }

  // Waits for them, and takes no more: when the program ends. Needs the GIL.
  static void finish() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (fork_generation() == counts().launched_in.load() && waiting() > 0 &&
           std::chrono::steady_clock::now() < deadline) {
      pybind11::gil_scoped_release unlocked;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    counts().closed.store(true);
    pybind11::gil_scoped_release unlocked;
    runtime().end_calls();
  }

 private:
  struct Counts {
    std::atomic<int> waiting{0};
    std::atomic<bool> closed{false};
    std::atomic<unsigned> launched_in{0};  // fork generation: a child's streams do not run
  };

  static Counts& counts() {
    static auto* only = new Counts;  // a callback may run while the program ends
    return *only;
  }

  static void call_python(PyObject* run) {
    if (counts().closed.load()) return;
    const PyGILState_STATE gil = PyGILState_Ensure();
    PyObject* result = PyObject_CallNoArgs(run);
    if (result == nullptr) PyErr_WriteUnraisable(run);
    Py_XDECREF(result);
    Py_DECREF(run);
    PyGILState_Release(gil);
  }

  template <class Function>
  static void run(void* argument) {
    (*std::unique_ptr<Function>(static_cast<Function*>(argument)))();
    counts().waiting.fetch_sub(1);
  }

  template <class Function>
  static void launch(const StreamState& state, Function function) {
    auto argument = std::make_unique<Function>(std::move(function));
    Counts& all = counts();
    if (all.launched_in.exchange(fork_generation()) != fork_generation()) all.waiting.store(0);
    all.waiting.fetch_add(1);
    try {
      pybind11::gil_scoped_release unlocked;
      OnDevice current(state.device);
      runtime().call_host(state.handle, &HostFunctions::run<Function>, argument.get());
    } catch (...) {
      all.waiting.fetch_sub(1);
      throw;
    }
    argument.release();
  }
};

}  // namespace accel
