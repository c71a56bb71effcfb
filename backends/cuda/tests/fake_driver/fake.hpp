// A driver for tests: the entry points of libcuda over host memory and threads.
//
// Every stream is a thread with a queue, so work is asynchronous; a seeded random delay before each
// operation (ACCEL_FAKE_DELAY_US, ACCEL_FAKE_SEED) shakes the order of streams that nothing orders.
// Handles are checked, host functions of all streams run one after another as the real driver's do,
// and any entry can be told to fail (accel_fake_fail).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#define FAKE_ENTRY extern "C" __attribute__((visibility("default")))

namespace fake {

using Clock = std::chrono::steady_clock;

constexpr int kInvalidValue = 1;
constexpr int kOutOfMemory = 2;
constexpr int kNotInitialized = 3;
constexpr int kInvalidDevice = 101;
constexpr int kInvalidContext = 201;
constexpr int kInvalidHandle = 400;
constexpr int kNotFound = 500;
constexpr int kNotReady = 600;
constexpr int kCaptureUnsupported = 900;
constexpr int kCaptureInvalidated = 901;
constexpr int kCaptureUnmatched = 903;
constexpr int kCaptureUnjoined = 904;
constexpr int kCaptureIsolation = 905;
constexpr int kCapturedEvent = 907;

// What a record stands for.
struct Snapshot {
  std::atomic<bool> done{false};
  Clock::time_point when;
};

struct UserObject {
  void* pointer;
  void (*destroy)(void*);
  std::atomic<int> references;
};

struct Graph {
  std::vector<std::function<void()>> operations;
  std::vector<UserObject*> objects;
};

struct Stream;

// Which operations of which streams come before: counts of each stream's captured operations.
using Before = std::map<Stream*, std::size_t>;

struct Capture {
  std::uint64_t id = 0;
  Stream* origin = nullptr;
  std::shared_ptr<Graph> graph;
  bool valid = true;
  std::map<Stream*, Before> streams;
};

struct Context {
  int device = 0;
};

struct Stream {
  Context* context = nullptr;
  int priority = 0;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::function<void()>> queue;
  bool busy = false;
  bool stop = false;
  std::shared_ptr<Capture> capture;
  std::thread thread;
};

struct Event {
  Context* context = nullptr;
  bool timing = false;
  std::shared_ptr<Snapshot> snapshot;  // null: never recorded
  std::shared_ptr<Capture> capture;    // the newest record is part of it
  Before before;
};

// The stream behind a handle; null is the default stream of the current context. Null when there is
// no such stream.
Stream* stream_of(void* handle);
Context* current_context();

// Queues, or captures, an operation.
int give(Stream* stream, std::function<void()> operation);
// Queues it whether the stream is captured or not.
void queue(Stream* stream, std::function<void()> operation);

// Whether the driver is to be wrong in the way of this name (ACCEL_FAKE_DEFECT): to test tests.
bool defect(const char* name);

// The error that the next call of this entry is to return, 0 for none.
int injected(const char* entry);
#define FAKE_INJECT(name)                                  \
  do {                                                     \
    if (const int code = fake::injected(name)) return code; \
  } while (false)

// A thing of the driver's that a caller may ask to be checked.
template <class T>
class Registry {
 public:
  T* add(T* made) {
    std::lock_guard<std::mutex> lock(mutex_);
    all_[made] = made;
    return made;
  }
  T* find(void* handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = all_.find(handle);
    return found == all_.end() ? nullptr : found->second;
  }
  bool remove(void* handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    return all_.erase(handle) > 0;
  }
  std::size_t size() {
    std::lock_guard<std::mutex> lock(mutex_);
    return all_.size();
  }

 private:
  std::mutex mutex_;
  std::map<void*, T*> all_;
};

Registry<Stream>& streams();
Registry<Event>& events();

}  // namespace fake
