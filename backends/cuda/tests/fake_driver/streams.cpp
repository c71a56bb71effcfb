// Streams, events and host functions.

#include <cstdlib>
#include <cstring>
#include <random>

#include "fake.hpp"

namespace fake {
namespace {

constexpr int kLeast = 0, kGreatest = -5;

std::mutex host_functions;  // one at a time, as the driver has it
std::atomic<std::uint64_t> made_streams{0};

int delay_us() {
  static const int delay = [] {
    const char* text = std::getenv("ACCEL_FAKE_DELAY_US");
    return text == nullptr ? 0 : std::atoi(text);
  }();
  return delay;
}

std::uint64_t seed() {
  const char* text = std::getenv("ACCEL_FAKE_SEED");
  return (text == nullptr ? 1 : std::strtoull(text, nullptr, 10)) * 7919 + ++made_streams;
}

void work(Stream* stream) {
  std::mt19937_64 random(seed());
  std::unique_lock<std::mutex> lock(stream->mutex);
  for (;;) {
    stream->wake.wait(lock, [&] { return stream->stop || !stream->queue.empty(); });
    if (stream->queue.empty()) break;
    auto operation = std::move(stream->queue.front());
    stream->queue.pop_front();
    stream->busy = true;
    lock.unlock();
    if (delay_us() > 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % delay_us()));
    }
    operation();
    operation = nullptr;
    lock.lock();
    stream->busy = false;
  }
  lock.unlock();
  delete stream;
}

Stream* start(Context* context, int priority) {
  auto* stream = new Stream;
  stream->context = context;
  stream->priority = priority;
  stream->thread = std::thread(work, stream);
  stream->thread.detach();
  return stream;
}

void pause() { std::this_thread::sleep_for(std::chrono::microseconds(20)); }

int invalidate(const std::shared_ptr<Capture>& capture, int code) {
  capture->valid = false;
  return code;
}

}  // namespace

Registry<Stream>& streams() {
  static auto* only = new Registry<Stream>;
  return *only;
}

Registry<Event>& events() {
  static auto* only = new Registry<Event>;
  return *only;
}

Stream* stream_of(void* handle) {
  if (handle != nullptr) return streams().find(handle);
  static std::mutex mutex;
  static std::map<Context*, Stream*> defaults;
  std::lock_guard<std::mutex> lock(mutex);
  Context* const context = current_context();
  if (context == nullptr) return nullptr;
  Stream*& found = defaults[context];
  if (found == nullptr) found = start(context, 0);
  return found;
}

void queue(Stream* stream, std::function<void()> operation) {
  std::lock_guard<std::mutex> lock(stream->mutex);
  stream->queue.push_back(std::move(operation));
  stream->wake.notify_all();
}

int give(Stream* stream, std::function<void()> operation) {
  if (stream == nullptr) return kInvalidHandle;
  if (stream->capture != nullptr) {
    Capture& capture = *stream->capture;
    if (!capture.valid) return kCaptureInvalidated;
    capture.graph->operations.push_back(std::move(operation));
    ++capture.streams[stream][stream];
    return 0;
  }
  queue(stream, std::move(operation));
  return 0;
}

}  // namespace fake

using namespace fake;

FAKE_ENTRY int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  if (current_context() == nullptr) return kInvalidContext;
  *least = kLeast;
  *greatest = kGreatest;
  return 0;
}

FAKE_ENTRY int cuStreamCreateWithPriority(void** handle, unsigned, int priority) {
  FAKE_INJECT("cuStreamCreateWithPriority");
  if (current_context() == nullptr) return kInvalidContext;
  *handle = streams().add(start(current_context(), priority));
  return 0;
}

FAKE_ENTRY int cuStreamDestroy_v2(void* handle) {
  Stream* const stream = streams().find(handle);
  if (stream == nullptr) return kInvalidHandle;
  streams().remove(handle);
  std::lock_guard<std::mutex> lock(stream->mutex);
  stream->stop = true;
  stream->wake.notify_all();
  return 0;
}

FAKE_ENTRY int cuStreamGetPriority(void* handle, int* priority) {
  Stream* const stream = stream_of(handle);
  if (stream == nullptr) return kInvalidHandle;
  *priority = stream->priority;
  return 0;
}

FAKE_ENTRY int cuStreamGetCtx(void* handle, Context** context) {
  Stream* const stream = stream_of(handle);
  if (stream == nullptr) return kInvalidHandle;
  *context = stream->context;
  return 0;
}

FAKE_ENTRY int cuStreamQuery(void* handle) {
  FAKE_INJECT("cuStreamQuery");
  Stream* const stream = stream_of(handle);
  if (stream == nullptr) return kInvalidHandle;
  if (stream->capture != nullptr) return invalidate(stream->capture, kCaptureUnsupported);
  std::lock_guard<std::mutex> lock(stream->mutex);
  return stream->queue.empty() && !stream->busy ? 0 : kNotReady;
}

FAKE_ENTRY int cuStreamSynchronize(void* handle) {
  int result = cuStreamQuery(handle);
  for (; result == kNotReady; result = cuStreamQuery(handle)) pause();
  return result;
}

FAKE_ENTRY int cuCtxSynchronize() {
  FAKE_INJECT("cuCtxSynchronize");
  return current_context() == nullptr ? kInvalidContext : cuStreamSynchronize(nullptr);
}

FAKE_ENTRY int cuEventCreate(void** handle, unsigned flags) {
  FAKE_INJECT("cuEventCreate");
  constexpr unsigned kDisableTiming = 2, kInterprocess = 4;
  if (current_context() == nullptr) return kInvalidContext;
  if ((flags & kInterprocess) != 0 && (flags & kDisableTiming) == 0) return kInvalidValue;
  auto* event = new Event;
  event->context = current_context();
  event->timing = (flags & kDisableTiming) == 0;
  *handle = events().add(event);
  return 0;
}

FAKE_ENTRY int cuEventDestroy_v2(void* handle) {
  Event* const event = events().find(handle);
  if (event == nullptr) return kInvalidHandle;
  events().remove(handle);
  delete event;
  return 0;
}

FAKE_ENTRY int cuEventRecord(void* handle, void* stream_handle) {
  FAKE_INJECT("cuEventRecord");
  Event* const event = events().find(handle);
  Stream* const stream = stream_of(stream_handle);
  if (event == nullptr || stream == nullptr || event->context != stream->context) {
    return kInvalidHandle;
  }
  if (stream->capture != nullptr) {
    if (!stream->capture->valid) return kCaptureInvalidated;
    event->snapshot = nullptr;
    event->capture = stream->capture;
    event->before = stream->capture->streams[stream];
    return 0;
  }
  auto snapshot = std::make_shared<Snapshot>();
  event->snapshot = snapshot;
  event->capture = nullptr;
  queue(stream, [snapshot] {
    snapshot->when = Clock::now();
    snapshot->done = true;
  });
  return 0;
}

FAKE_ENTRY int cuEventQuery(void* handle) {
  FAKE_INJECT("cuEventQuery");
  Event* const event = events().find(handle);
  if (event == nullptr) return kInvalidHandle;
  if (event->capture != nullptr) return invalidate(event->capture, kCapturedEvent);
  return event->snapshot == nullptr || event->snapshot->done ? 0 : kNotReady;
}

FAKE_ENTRY int cuEventSynchronize(void* handle) {
  int result = cuEventQuery(handle);
  for (; result == kNotReady; result = cuEventQuery(handle)) pause();
  return result;
}

FAKE_ENTRY int cuEventElapsedTime(float* milliseconds, void* first, void* second) {
  Event *start = events().find(first), *end = events().find(second);
  if (start == nullptr || end == nullptr || !start->timing || !end->timing ||
      start->snapshot == nullptr || end->snapshot == nullptr) {
    return kInvalidHandle;
  }
  if (!start->snapshot->done || !end->snapshot->done) return kNotReady;
  *milliseconds =
      std::chrono::duration<float, std::milli>(end->snapshot->when - start->snapshot->when).count();
  return 0;
}

FAKE_ENTRY int cuStreamWaitEvent(void* stream_handle, void* handle, unsigned) {
  FAKE_INJECT("cuStreamWaitEvent");
  Event* const event = events().find(handle);
  Stream* const stream = stream_of(stream_handle);
  if (event == nullptr || stream == nullptr) return kInvalidHandle;
  if (event->capture != nullptr) {
    Capture& capture = *event->capture;
    if (!capture.valid) return kCaptureInvalidated;
    if (stream->capture != nullptr && stream->capture != event->capture) {
      return invalidate(event->capture, kCaptureIsolation);
    }
    stream->capture = event->capture;
    Before& before = capture.streams[stream];
    for (const auto& [other, count] : event->before) {
      before[other] = std::max(before[other], count);
    }
    return 0;
  }
  if (stream->capture != nullptr) {
    // Work from before the capture is no part of it; waiting for it inside would be.
    if (event->snapshot == nullptr) return 0;
    return invalidate(stream->capture, kCaptureIsolation);
  }
  auto snapshot = event->snapshot;
  if (snapshot == nullptr) return 0;
  queue(stream, [snapshot] {
    while (!snapshot->done) pause();
  });
  return 0;
}

FAKE_ENTRY int cuStreamWaitValue32_v2(void* handle, std::uint64_t address, std::uint32_t value,
                                      unsigned flags) {
  FAKE_INJECT("cuStreamWaitValue32_v2");
  if (flags != 0) return kInvalidValue;
  return give(stream_of(handle), [address, value] {
    const auto* word = reinterpret_cast<const std::atomic<std::uint32_t>*>(address);
    while (static_cast<std::int32_t>(word->load() - value) < 0) pause();
  });
}

FAKE_ENTRY int cuLaunchHostFunc(void* handle, void (*function)(void*), void* data) {
  FAKE_INJECT("cuLaunchHostFunc");
  return give(stream_of(handle), [function, data] {
    std::lock_guard<std::mutex> lock(host_functions);
    function(data);
  });
}

// Within this process only: a handle of another one cannot be opened, as when its maker has ended.
FAKE_ENTRY int cuIpcGetEventHandle(char* bytes, void* handle) {
  Event* const event = events().find(handle);
  if (event == nullptr) return kInvalidHandle;
  std::memset(bytes, 0, 64);
  std::memcpy(bytes, &handle, sizeof handle);
  return 0;
}

struct IpcHandle {
  char bytes[64];
};
FAKE_ENTRY int cuIpcOpenEventHandle(void**, IpcHandle) { return kInvalidValue; }
