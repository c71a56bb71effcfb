#include "callbacks.hpp"

#include <unistd.h>

#include <accel/errors.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "graph.hpp"
#include "graveyard.hpp"
#include "pending.hpp"
#include "waiting.hpp"

namespace accel_cuda {
namespace {

struct Callback {
  Runtime* runtime = nullptr;
  StreamState* state = nullptr;
  PyObject* fn = nullptr;    // owned, unless the graph holds it
  std::uint32_t ticket = 0;  // 0: somebody waits for `finished` instead of the stream
  bool in_graph = false;     // runs at every replay
  bool finished = false;     // guarded by the workers' mutex
};

// Threads that run callbacks: as many as are running at once, kept for the next ones.
struct Workers {
  std::mutex mutex;
  std::condition_variable wake, finished;
  std::deque<Callback*> ready;
  int idle = 0;
  const pid_t process = getpid();
  std::atomic<bool> closed{false};
};

Workers& workers() {
  static auto* only = new Workers;  // the threads outlive static destructors
  return *only;
}

void run_python(Callback& callback) {
  if (workers().closed.load()) return;
  const PyGILState_STATE gil = PyGILState_Ensure();
  PyObject* result = PyObject_CallNoArgs(callback.fn);
  if (result == nullptr) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != nullptr) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    callback.state->failures.push_back(value);
  }
  Py_XDECREF(result);
  if (!callback.in_graph) Py_CLEAR(callback.fn);
  PyGILState_Release(gil);
}

void run(Callback* callback) {
  run_python(*callback);
  if (callback->ticket != 0) {
    // The device reads it: everything the callback wrote comes before.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    *const_cast<volatile std::uint32_t*>(&callback->state->words->callbacks_done) =
        callback->ticket;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    callback->runtime->callbacks_running.fetch_sub(1);
    callback->state->callbacks_running.fetch_sub(1);
    delete callback;
    return;
  }
  std::lock_guard<std::mutex> lock(workers().mutex);
  callback->finished = true;
  workers().finished.notify_all();
}

void work() {
  Workers& all = workers();
  std::unique_lock<std::mutex> lock(all.mutex);
  for (;;) {
    if (all.ready.empty()) {
      ++all.idle;
      all.wake.wait(lock, [&] { return !all.ready.empty(); });
      --all.idle;
    }
    Callback* const next = all.ready.front();
    all.ready.pop_front();
    lock.unlock();
    run(next);
    lock.lock();
  }
}

void hand_over(Callback* callback) {
  Workers& all = workers();
  bool start = false;
  {
    std::lock_guard<std::mutex> lock(all.mutex);
    all.ready.push_back(callback);
    start = all.idle < static_cast<int>(all.ready.size());
  }
  if (start) {
    std::thread(work).detach();
  } else {
    all.wake.notify_one();
  }
}

// On the driver's thread, which must neither block nor call the driver.
void wake_worker(void* callback) { hand_over(static_cast<Callback*>(callback)); }

void wait_for_worker(Callback* callback) {
  {
    std::lock_guard<std::mutex> lock(workers().mutex);
    callback->finished = false;
  }
  hand_over(callback);
  std::unique_lock<std::mutex> lock(workers().mutex);
  workers().finished.wait(lock, [&] { return callback->finished; });
}

void run_blocking(void* pointer) {
  auto* const callback = static_cast<Callback*>(pointer);
  wait_for_worker(callback);
  callback->runtime->callbacks_running.fetch_sub(1);
  callback->state->callbacks_running.fetch_sub(1);
  delete callback;
}

// At every replay of a graph. The replays count as running (Graph::replay) until they are over.
void run_in_graph(void* pointer) { wait_for_worker(static_cast<Callback*>(pointer)); }

void destroy_with_graph(PyObject* capsule) {
  auto* const callback = static_cast<Callback*>(PyCapsule_GetPointer(capsule, nullptr));
  Py_XDECREF(callback->fn);
  delete callback;
}

void add_to_graph(Runtime& runtime, StreamState& state, PyObject* fn) {
  auto* const callback = new Callback;
  callback->runtime = &runtime;
  callback->state = &state;
  callback->in_graph = true;
  callback->fn = fn;
  Py_INCREF(fn);
  accel::Ref capsule{PyCapsule_New(callback, nullptr, destroy_with_graph)};
  if (!capsule) {
    Py_DECREF(fn);
    delete callback;
    throw accel::ErrorSet();
  }
  PyObject* const held[] = {capsule.get()};
  keep_in_graph(runtime, state.handle, held, 1);
  Graph::note_callback(runtime, state.handle);
  Current current(runtime.device);
  ACCEL_CUDA_CALL(launch_host_function, state.handle, run_in_graph, callback);
}

// Asks the driver for a wait that is over already.
bool can_wait_for_words(Runtime& runtime, StreamState& state) {
  if (runtime.wait_value == Runtime::WaitValue::Unknown) {
    const bool works =
        driver().stream_wait_value != nullptr &&
        driver().stream_wait_value(state.handle,
                                   state.words_address + offsetof(StreamWords, callbacks_done),
                                   state.words->callbacks_done, kWaitValueGeq) == kSuccess;
    runtime.wait_value = works ? Runtime::WaitValue::Works : Runtime::WaitValue::Missing;
  }
  return runtime.wait_value == Runtime::WaitValue::Works;
}

}  // namespace

void add_callback(Runtime& runtime, StreamState& state, PyObject* fn) {
  if (PyCallable_Check(fn) == 0) {
    accel::fail("DTypeError", "fn", "a callable without arguments", accel::describe(fn));
  }
  if (is_capturing(state.handle)) {
    add_to_graph(runtime, state, fn);
    return;
  }
  Submission submission(runtime);
  // Tickets go up in the order of the stream's work, also where the GIL was let go of.
  std::lock_guard<std::mutex> in_order(state.giving_callbacks);
  const bool by_word = can_wait_for_words(runtime, state);
  auto* const callback = new Callback;
  callback->runtime = &runtime;
  callback->state = &state;
  callback->fn = fn;
  if (by_word) {
    // 0 says that there is no ticket.
    if (++state.callbacks_given == 0) ++state.callbacks_given;
    callback->ticket = state.callbacks_given;
  }
  Py_INCREF(fn);
  runtime.callbacks_running.fetch_add(1);
  state.callbacks_running.fetch_add(1);
  const std::uint32_t ticket = callback->ticket;
  const Result given = driver().launch_host_function(
      state.handle, by_word ? wake_worker : run_blocking, callback);
  if (given != kSuccess) {
    runtime.callbacks_running.fetch_sub(1);
    state.callbacks_running.fetch_sub(1);
    bury({fn});
    delete callback;
    throw_driver_fault(given, Entry::launch_host_function);
  }
  if (by_word) {
    ACCEL_CUDA_CALL(stream_wait_value, state.handle,
                    state.words_address + offsetof(StreamWords, callbacks_done), ticket,
                    kWaitValueGeq);
  }
}

void prepare_callbacks() { workers(); }

void finish_callbacks() {
  if (workers().closed.load()) return;
  if (getpid() != workers().process) {  // a forked child has neither the workers nor the driver
    workers().closed.store(true);
    return;
  }
  for (int index = 0; driver_is_open() && index < 256; ++index) {
    const Device* const device = Device::find(index);
    if (device == nullptr) continue;
    Runtime& runtime = Runtime::of(*device);
    Current current(*device);
    std::vector<StreamState*> states;
    for (const auto& state : runtime.states()) states.push_back(state.get());
    // A stream whose context is lost never gets to its callbacks.
    wait_interruptibly([&] {
      if (runtime.callbacks_running.load() == 0) return true;
      for (const StreamState* state : states) {
        if (state->callbacks_running.load() == 0) continue;
        const Result result = driver().stream_query(state->handle);
        if (result == kSuccess || result == kNotReady) return false;
      }
      return true;
    });
  }
  drain_graveyard();
  workers().closed.store(true);
}

}  // namespace accel_cuda
