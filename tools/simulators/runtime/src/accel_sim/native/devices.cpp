#include "accel_sim/devices.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>

#include "accel_sim/memory.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/streams.hpp"
#include "accel_sim/vendor.hpp"
#include "execution_slots.hpp"
#include "stream_handles.hpp"

namespace accel_sim {
namespace {

// The visible physical devices, as the vendors' variables list them: "0,2". An entry that is no
// number, out of range or named before ends the list.
std::vector<int> visible_devices() {
  std::vector<int> all;
  for (int index = 0; index < modes().devices; ++index) all.push_back(index);
  const char* name = vendor().visible_variable;
  const char* text = name ? std::getenv(name) : nullptr;
  if (!text) return all;
  std::vector<int> chosen;
  while (*text) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    const bool known = std::find(chosen.begin(), chosen.end(), value) != chosen.end();
    if (end == text || value < 0 || value >= modes().devices || known) break;
    chosen.push_back(static_cast<int>(value));
    while (*end == ' ') ++end;
    if (*end != ',') break;
    text = end + 1;
  }
  return chosen;
}

std::vector<std::unique_ptr<Device>>& devices() {
  static auto* const all = [] {
    auto* fresh = new std::vector<std::unique_ptr<Device>>;
    for (int physical : visible_devices()) {
      fresh->push_back(std::make_unique<Device>(static_cast<int>(fresh->size()), physical));
    }
    return fresh;
  }();
  return *all;
}

std::atomic<int> default_device{-1};
thread_local int thread_device = -1;

int implied_device() {
  const int chosen = default_device.load();
  return chosen >= 0 ? chosen : vendor().default_device;
}

std::atomic<bool> used{false};
std::atomic<bool> child_of_user{false};

}  // namespace

Device::Device(int index, int physical)
    : index_(index),
      physical_(physical),
      slots_(vendor().execution_slots > 0
                 ? std::make_unique<ExecutionSlots>(vendor().execution_slots)
                 : nullptr) {}

Device::~Device() = default;

Stream& Device::default_stream() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!default_stream_) {
    default_stream_ = std::make_shared<Stream>(*this, next_stream_id(),
                                               vendor().default_priority, 0);
    remember_stream(default_stream_);
  }
  return *default_stream_;
}

std::vector<std::shared_ptr<Stream>> Device::streams() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::shared_ptr<Stream>> all;
  if (default_stream_) all.push_back(default_stream_);
  all.insert(all.end(), streams_.begin(), streams_.end());
  return all;
}

void Device::add_stream(std::shared_ptr<Stream> stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.push_back(std::move(stream));
}

void Device::remove_stream(const Stream& stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.erase(std::remove_if(streams_.begin(), streams_.end(),
                                [&](const auto& one) { return one.get() == &stream; }),
                 streams_.end());
}

bool Device::active() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return active_;
}

void Device::set_active(bool active) {
  std::lock_guard<std::mutex> lock(mutex_);
  active_ = active;
}

void Device::enable_peer(int peer) {
  device_at(peer);
  if (peer == index_) {
    throw Failure(Kind::invalid_device, "device " + std::to_string(peer) + " is no peer of itself");
  }
  std::lock_guard<std::mutex> lock(mutex_);
  peers_.insert(peer);
}

void Device::disable_peer(int peer) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (peers_.erase(peer) == 0) {
    throw Failure(Kind::invalid_argument, "access to device " + std::to_string(peer) +
                                              " was not enabled");
  }
}

bool Device::peer_enabled(int peer) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return peers_.count(peer) != 0;
}

int device_count() { return static_cast<int>(devices().size()); }

Device& device_at(int index) {
  if (index < 0 || index >= device_count()) {
    throw Failure(Kind::invalid_device, "device " + std::to_string(index) + " is not one of the " +
                                            std::to_string(device_count()) + " visible devices");
  }
  return *devices()[static_cast<std::size_t>(index)];
}

int current_device_index() {
  if (thread_device >= 0) return thread_device;
  const int implied = implied_device();
  if (implied >= 0) {
    set_current_device(implied);
    return implied;
  }
  throw Failure(Kind::no_context, "this thread has chosen no device, and none is the default");
}

Device& current_device() { return device_at(current_device_index()); }

bool has_current_device() { return thread_device >= 0 || implied_device() >= 0; }

void set_current_device(int index) {
  Device& device = device_at(index);
  device.set_active(true);
  mark_used();
  thread_device = index;
}

void clear_current_device() { thread_device = -1; }

void set_default_device(int index) {
  if (index >= 0) device_at(index);
  default_device.store(index);
}

void synchronize_device(Device& device, int timeout_ms) {
  Error first;
  for (const std::shared_ptr<Stream>& stream : device.streams()) {
    if (!stream->drain(timeout_ms)) {
      throw Failure(Kind::timeout, "device " + std::to_string(device.index()) +
                                       " had work left after " + std::to_string(timeout_ms) +
                                       " ms");
    }
    Error error = stream->take_error();
    if (error && !first) first = error;
  }
  if (first) throw Failure(first.code, first.text);
}

void reset_device(Device& device, int wait_ms, bool free_memory) {
  for (const std::shared_ptr<Stream>& stream : device.streams()) {
    if (!stream->drain(wait_ms)) stream->abort();
    stream->take_error();
  }
  if (free_memory) free_all(device);
  device.set_active(false);
}

void mark_used() {
  if (used.exchange(true)) return;
  pthread_atfork(nullptr, nullptr, [] { child_of_user.store(true); });
}

bool forked_after_use() { return child_of_user.load(); }

}  // namespace accel_sim
