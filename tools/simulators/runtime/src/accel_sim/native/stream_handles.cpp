#include "stream_handles.hpp"

#include <atomic>
#include <mutex>
#include <sstream>
#include <unordered_set>
#include <vector>

namespace accel_sim {
namespace {

struct Handles {
  std::mutex mutex;
  std::unordered_set<const void*> live;
  std::vector<std::shared_ptr<Stream>> all;
};

Handles& handles() {
  static Handles* const one = new Handles;
  return *one;
}

}  // namespace

int next_stream_id() {
  static std::atomic<int> next{0};
  return next++;
}

void remember_stream(const std::shared_ptr<Stream>& stream) {
  Handles& known = handles();
  std::lock_guard<std::mutex> lock(known.mutex);
  known.live.insert(stream.get());
  known.all.push_back(stream);
}

bool forget_stream(const void* handle) {
  Handles& known = handles();
  std::lock_guard<std::mutex> lock(known.mutex);
  return known.live.erase(handle) != 0;
}

Stream& create_stream(Device& device, std::uint32_t priority, std::uint32_t flags) {
  auto stream = std::make_shared<Stream>(device, next_stream_id(), priority, flags);
  remember_stream(stream);
  device.set_active(true);
  device.add_stream(stream);
  return *stream;
}

namespace {

// The stream of a handle that is none from now on.
Stream& forgotten(void* handle) {
  if (!handle) throw Failure(Kind::invalid_handle, "the default stream is not destroyed by hand");
  Stream& stream = stream_of(handle);
  if (!forget_stream(handle)) {
    throw Failure(Kind::invalid_handle, "the stream was destroyed by another thread");
  }
  return stream;
}

}  // namespace

void destroy_stream(void* handle, bool force) {
  Stream& stream = forgotten(handle);
  if (force) stream.abort();
  stream.close();
  stream.device().remove_stream(stream);
}

void retire_stream(void* handle) { forgotten(handle).retire(); }

Stream& stream_of(void* handle) {
  if (!handle) return current_device().default_stream();
  Handles& known = handles();
  std::lock_guard<std::mutex> lock(known.mutex);
  if (known.live.count(handle) == 0) {
    std::ostringstream text;
    text << handle << " is not a live stream";
    throw Failure(Kind::invalid_handle, text.str());
  }
  return *static_cast<Stream*>(handle);
}

}  // namespace accel_sim
