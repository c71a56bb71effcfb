// Freed memory, kept to be handed out again: at once to the stream that it belonged to, and not
// before other streams are done that were recorded with it. Blocks are never cut, so that each
// tensor has the guard of an allocation of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include <c10/core/Stream.h>

namespace torch_mlu {

class BlockCache {
 public:
  // make: memory of so many bytes, nullptr if there is none left. idle: whether what was freed of
  // `owner` can be given back to the runtime by now; finish: waits until it can.
  struct Source {
    std::function<void*(std::size_t bytes)> make;
    std::function<void(void* memory)> release;
    std::function<bool(c10::StreamId owner)> idle;
    std::function<void(c10::StreamId owner)> finish;
  };
  struct Sums {
    std::size_t current = 0, peak = 0, added = 0, taken = 0;
    void add(std::size_t amount);
    void take(std::size_t amount);
  };
  struct Use {
    Sums allocated, reserved, blocks, segments;
    std::size_t retries = 0, failures = 0;
  };

  // device: of the owners; -1 for memory of the host, which belongs to no stream.
  BlockCache(Source source, c10::DeviceIndex device)
      : source_(std::move(source)), device_(device) {}

  void* allocate(std::size_t bytes, c10::StreamId owner);  // nullptr: out of memory
  bool free(void* memory) noexcept;  // false: not a block of this cache
  void record(const void* inside, const c10::Stream& stream);
  void empty();
  Use use() const;
  void reset_peaks();
  void reset_totals();

 private:
  struct Block {
    void* memory = nullptr;
    std::size_t bytes = 0;
    c10::StreamId owner = 0;
    std::set<std::pair<c10::DeviceIndex, c10::StreamId>> users;
  };
  struct Pending {  // freed, and in use on other streams
    Block block;
    std::vector<void*> events;
  };
  using Key = std::pair<c10::StreamId, std::size_t>;

  void collect(bool wait);  // what other streams are done with becomes free
  void keep(Block block);
  void trim(std::size_t wanted);
  void release(const Block& block);
  void release_kept();

  mutable std::mutex mutex_;
  const Source source_;
  const c10::DeviceIndex device_;
  std::map<const void*, Block> taken_;
  std::map<Key, std::vector<Block>> kept_;
  std::size_t kept_bytes_ = 0;
  std::list<Pending> pending_;
  Use use_;
};

}  // namespace torch_mlu
