// A stream's id is 0 for the default queue, odd for one of the pools (its place there), and else the
// address of a queue that someone else made.
#include "torch_mlu/streams.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include <accel_sim/devices.hpp>
#include <accel_sim/streams.hpp>
#include <c10/util/Exception.h>

#include "checks.hpp"
#include "torch_mlu/devices.hpp"

namespace torch_mlu {
namespace {

// CNRT's number of torch's priority 0. An MLU590 answers 4, and one less for each step of torch's.
constexpr int kUsualPriority = 4;

struct Pool {
  std::mutex mutex;
  std::array<cnrtQueue_t, kQueuesOfAPool> queues{};
  std::atomic<unsigned> next{0};
};

Pool& pool_of(c10::DeviceIndex device, int step) {
  using Pools = std::array<Pool, kPriorities>;
  static auto* const all = new std::vector<Pools>(device_count());  // outlives every thread
  return all->at(device).at(step);
}

c10::Stream stream(c10::DeviceIndex device, c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, device_at(device), id);
}

c10::StreamId& current_id(c10::DeviceIndex device) {
  static thread_local std::vector<c10::StreamId> ids(device_count(), 0);
  return ids.at(device);
}

bool of_a_pool(c10::StreamId id) { return (id & 1) != 0; }
int step_of(c10::StreamId id) { return static_cast<int>(id >> 1) % kPriorities; }
int place_of(c10::StreamId id) { return static_cast<int>(id >> 1) / kPriorities; }

}  // namespace

c10::Stream current_stream(c10::DeviceIndex device) {
  const c10::DeviceIndex index = device_at(device).index();
  return stream(index, current_id(index));
}

c10::Stream default_stream(c10::DeviceIndex device) { return stream(device, 0); }

c10::Stream exchange_stream(c10::Stream next) {
  c10::StreamId& id = current_id(next.device_index());
  const c10::Stream before = stream(next.device_index(), id);
  id = next.id();
  return before;
}

c10::Stream pool_stream(c10::DeviceIndex device, int priority) {
  const c10::Device where = device_at(device);
  TORCH_CHECK(where.index() < device_count(), "device: expected 0 to ", int{device_count()} - 1,
              ", given ", int{where.index()});
  const int step = std::min(std::max(-priority, 0), kPriorities - 1);
  const unsigned place = pool_of(where.index(), step).next++ % kQueuesOfAPool;
  return stream(where.index(), static_cast<c10::StreamId>(place * kPriorities + step) << 1 | 1);
}

c10::Stream external_stream(c10::DeviceIndex device, void* queue) {
  const auto id = static_cast<c10::StreamId>(reinterpret_cast<std::uintptr_t>(queue));
  TORCH_CHECK(!of_a_pool(id), "queue: expected a cnrtQueue_t, given ", queue);
  return stream(device, id);
}

void* queue_of(const c10::Stream& stream) {
  const c10::StreamId id = stream.id();
  if (!of_a_pool(id)) return reinterpret_cast<void*>(id);
  const int step = step_of(id);
  Pool& pool = pool_of(stream.device_index(), step);
  const std::lock_guard lock(pool.mutex);
  cnrtQueue_t& queue = pool.queues.at(place_of(id));
  if (queue == nullptr) {
    const OnDevice here(stream.device_index());
    MLU_CHECK(cnrtQueueCreateWithPriority, &queue, 0, kUsualPriority - step);
  }
  return queue;
}

int priority_of(const c10::Stream& stream) {
  const OnDevice here(stream.device_index());
  int priority = kUsualPriority;
  MLU_CHECK(cnrtQueueGetPriority, queue_of(stream), &priority);
  return std::min(0, std::max(priority - kUsualPriority, 1 - kPriorities));
}

accel_sim::Stream& simulated(const c10::Stream& stream) {
  void* const queue = queue_of(stream);
  if (queue == nullptr) return accel_sim::device_at(stream.device_index()).default_stream();
  return accel_sim::stream_of(queue);
}

bool query_stream(const c10::Stream& stream) {
  const OnDevice here(stream.device_index());
  const cnrtRet_t code = cnrtQueueQuery(queue_of(stream));
  if (!is_busy(code)) check(code, "cnrtQueueQuery");
  return code == cnrtSuccess;
}

void synchronize_stream(const c10::Stream& stream) {
  const OnDevice here(stream.device_index());
  MLU_CHECK(cnrtQueueSync, queue_of(stream));
}

}  // namespace torch_mlu
