// What this process keeps for every device and for every stream of it, beside the driver's own.
//
//   Runtime& runtime = Runtime::of(device);
//   StreamState& state = runtime.state(stream);     // made on first use, never destroyed
//   args.fault = state.fault_address();             // where a kernel on this stream reports faults
//
// Everything here but the members that say otherwise needs the GIL, which is what guards it.
#pragma once

#include <Python.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "../driver/device.hpp"
#include "kernels/fault_record.h"

namespace accel_cuda {

class Stream;

// In pinned host memory, one for each stream: what the device writes for the host and reads of it.
struct alignas(128) StreamWords {
  AccelFaultRecord fault;
  std::uint32_t callbacks_done;  // the ticket of the last host callback that has run
  std::uint32_t unused[15];
};
static_assert(sizeof(StreamWords) == 128, "one cache line for each side");

// References that wait for an event.
struct Held {
  EventHandle event = nullptr;
  std::vector<PyObject*> objects;
};

struct StreamState {
  StreamHandle handle = nullptr;
  bool ours = false;              // made by us: never destroyed, so always safe to ask about
  std::weak_ptr<Stream> object;   // the Stream in use, if there is one
  StreamWords* words = nullptr;
  DevicePointer words_address = 0;
  std::uint32_t callbacks_given = 0;
  std::mutex giving_callbacks;
  std::atomic<int> callbacks_running{0};  // given and not finished; any thread
  std::vector<PyObject*> failures;        // exceptions that callbacks raised, owned
  std::deque<Held> held;                  // oldest first
  std::vector<PyObject*> open;            // younger than those, behind no event yet
  std::vector<StreamState*> replayed;     // streams whose captures were replayed on this one
  PyObject* torch_stream = nullptr;       // torch's object for record_stream, owned

  // The device's address of the fault record.
  DevicePointer fault_address() const noexcept { return words_address; }
};

class Runtime {
 public:
  static Runtime& of(const Device& device);

  const Device& device;

  StreamState& state(StreamHandle handle) {
    if (last_ != nullptr && last_->handle == handle) return *last_;
    return find_state(handle);
  }
  // Every state made so far.
  const std::vector<std::unique_ptr<StreamState>>& states() const noexcept { return all_; }

  // Events without timing, reused. The device's context must be current.
  EventHandle take_event();
  void give_event(EventHandle event) { events_.push_back(event); }

  // Streams made before whose owners are gone, by priority.
  std::unordered_map<int, std::vector<StreamState*>> idle_streams;

  // Host callbacks given on this device and not finished. While there are any, a call that may
  // block in the driver must not hold the GIL, which they need to go on. Any thread.
  std::atomic<int> callbacks_running{0};

  // Whether the driver can let a stream wait for a word in memory; found out on first need.
  enum class WaitValue { Unknown, Works, Missing };
  std::atomic<WaitValue> wait_value{WaitValue::Unknown};

 private:
  explicit Runtime(const Device& device_) : device(device_) {}
  StreamState& find_state(StreamHandle handle);
  void add_words();

  std::unordered_map<StreamHandle, StreamState*> by_handle_;
  std::vector<std::unique_ptr<StreamState>> all_;
  StreamState* last_ = nullptr;
  std::vector<EventHandle> events_;
  std::vector<StreamWords*> free_words_;
  DevicePointer words_shift_ = 0;  // device address less host address
};

// For the length of a call that gives the device work: its context is current, and the GIL is let
// go of when a host callback may need it for the driver to take the work.
class Submission {
 public:
  explicit Submission(Runtime& runtime) : current_(runtime.device) {
    if (runtime.callbacks_running.load(std::memory_order_relaxed) > 0) {
      thread_ = PyEval_SaveThread();
    }
  }
  ~Submission() {
    if (thread_ != nullptr) PyEval_RestoreThread(thread_);
  }
  Submission(const Submission&) = delete;
  Submission& operator=(const Submission&) = delete;

 private:
  Current current_;
  PyThreadState* thread_ = nullptr;
};

// True while the stream's work goes into a graph, ours or torch's, instead of to the device. What
// was asked for only then (queries, synchronisation, reused staging memory) must not be done.
// Needs no GIL.
inline bool is_capturing(StreamHandle stream) {
  if (driver().stream_is_capturing == nullptr) return false;
  int status = kCaptureNone;
  return driver().stream_is_capturing(stream, &status) == kSuccess && status != kCaptureNone;
}

}  // namespace accel_cuda
