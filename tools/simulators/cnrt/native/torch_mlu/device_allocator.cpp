// Device memory: one cache for each device, whose blocks belong to the stream that was current.
#include <cstdlib>
#include <memory>
#include <vector>

#include <accel_sim/streams.hpp>

#include "block_cache.hpp"
#include "checks.hpp"
#include "torch_mlu/allocator.hpp"
#include "torch_mlu/devices.hpp"
#include "torch_mlu/streams.hpp"

namespace torch_mlu {
namespace {

using Statistics = c10::CachingDeviceAllocator::DeviceStats;

c10::Stream stream_of(c10::DeviceIndex device, c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, device_at(device), id);
}

void* make(c10::DeviceIndex device, std::size_t bytes) {
  const OnDevice here(device);
  void* memory = nullptr;
  const cnrtRet_t code = cnrtMalloc(&memory, bytes);
  if (code == cnrtErrorNoMem) return nullptr;
  check(code, "cnrtMalloc");
  return memory;
}

void release(c10::DeviceIndex device, void* memory) {
  const OnDevice here(device);
  MLU_CHECK(cnrtFree, memory);
}

// Waiting by the core takes no error from the stream: that is for who synchronises it.
BlockCache::Source source(c10::DeviceIndex device) {
  return {
      [device](std::size_t bytes) { return make(device, bytes); },
      [device](void* memory) { release(device, memory); },
      [device](c10::StreamId owner) { return simulated(stream_of(device, owner)).idle(); },
      [device](c10::StreamId owner) { simulated(stream_of(device, owner)).drain(); },
  };
}

void copy_sums(c10::CachingAllocator::StatArray& to, const BlockCache::Sums& from) {
  auto& stat = to[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
  stat.current = static_cast<std::int64_t>(from.current);
  stat.peak = static_cast<std::int64_t>(from.peak);
  stat.allocated = static_cast<std::int64_t>(from.added);
  stat.freed = static_cast<std::int64_t>(from.taken);
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::DeviceIndex device = current_device();
    if (bytes == 0) return {nullptr, nullptr, &free, device_at(device)};
    void* const memory = cache(device).allocate(bytes, current_stream(device).id());
    if (memory == nullptr) out_of_memory(device, bytes);
    return {memory, memory, &free, device_at(device)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* target, const void* source, std::size_t bytes) const override {
    MLU_CHECK(cnrtMemcpyAsync, target, const_cast<void*>(source), bytes,
              queue_of(current_stream(-1)), cnrtMemcpyDevToDev);
  }

  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {
    for (const auto& each : caches()) each->empty();
  }
  void recordStream(const c10::DataPtr& data, c10::Stream stream) override {
    if (data.get() == nullptr || data.get_deleter() != &free) return;
    cache(data.device().index()).record(data.get(), stream);
  }
  Statistics getDeviceStats(c10::DeviceIndex device) override {
    const BlockCache::Use use = cache(device).use();
    Statistics statistics;
    copy_sums(statistics.allocation, use.blocks);
    copy_sums(statistics.active, use.blocks);
    copy_sums(statistics.segment, use.segments);
    copy_sums(statistics.allocated_bytes, use.allocated);
    copy_sums(statistics.active_bytes, use.allocated);
    copy_sums(statistics.requested_bytes, use.allocated);
    copy_sums(statistics.reserved_bytes, use.reserved);
    statistics.num_alloc_retries = static_cast<std::int64_t>(use.retries);
    statistics.num_ooms = static_cast<std::int64_t>(use.failures);
    return statistics;
  }
  void resetAccumulatedStats(c10::DeviceIndex device) override { cache(device).reset_totals(); }
  void resetPeakStats(c10::DeviceIndex device) override { cache(device).reset_peaks(); }
  std::pair<std::size_t, std::size_t> getMemoryInfo(c10::DeviceIndex device) override {
    const OnDevice here(device);
    std::size_t free_bytes = 0, total = 0;
    MLU_CHECK(cnrtMemGetInfo, &free_bytes, &total);
    return {free_bytes, total};
  }

 private:
  using Caches = std::vector<std::unique_ptr<BlockCache>>;

  // Devices are counted at the first use: a process that only imported torch may still be forked.
  static Caches& caches() {
    static auto* const all = [] {
      auto* const made = new Caches;  // tensors may be freed when the process ends
      for (c10::DeviceIndex device = 0; device < device_count(); ++device) {
        made->push_back(std::make_unique<BlockCache>(source(device), device));
      }
      return made;
    }();
    return *all;
  }
  static BlockCache& cache(c10::DeviceIndex device) {
    return *caches().at(device_at(device).index());
  }

  // The block's device is not known here, and the current one need not be it.
  static void free(void* memory) {
    for (const auto& each : caches()) {
      if (each->free(memory)) return;
    }
  }

  [[noreturn]] void out_of_memory(c10::DeviceIndex device, std::size_t bytes) {
    const auto [free_bytes, total] = getMemoryInfo(device);
    TORCH_CHECK_WITH(OutOfMemoryError, false, "out of memory on ", device_at(device),
                     ": tried to allocate ", bytes, " bytes; ", free_bytes, " of ", total,
                     " are free");
    std::abort();  // not reached
  }
};

Allocator allocator;
REGISTER_ALLOCATOR(kDevice, &allocator)

}  // namespace

c10::DeviceAllocator& device_allocator() { return allocator; }

void record_stream(const c10::DataPtr& data, const c10::Stream& stream) {
  allocator.recordStream(data, stream);
}

}  // namespace torch_mlu
