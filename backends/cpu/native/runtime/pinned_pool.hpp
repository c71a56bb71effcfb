// The caching, stream-aware pool of page-locked host memory. One per process: locks are, too.
//
// Blocks come in size classes: powers of two from 4096 bytes to 2 MiB, then eighths between powers
// of two. A block given back waits until the streams recorded with it are done, then serves
// requests of the same class, node and kind of pages. The bound is on in_use + cached; when it is
// reached, cached blocks that no stream uses go back to the system first. Shared segments and
// registered ranges are counted apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "shared_segment.hpp"
#include "stream.hpp"

namespace accel_cpu {

struct PinnedBlock {
  char* base = nullptr;
  std::size_t capacity = 0;
  std::size_t nbytes = 0;  // as asked for
  int node = -1;
  bool wants_huge = false;
  bool huge = false;
  bool locked = false;
  std::string note;
  std::vector<StreamPoint> uses;
  std::shared_ptr<SharedSegment> segment;  // null for blocks of the pool
};

struct PinnedPoolStats {
  std::size_t in_use = 0, cached = 0, peak_in_use = 0, limit = 0, locked = 0, huge = 0,
              registered = 0, shared = 0, allocations = 0, cache_hits = 0, waits = 0;
};

class PinnedPool {
 public:
  static PinnedPool& instance();

  PinnedBlock* allocate(std::size_t nbytes, int node, bool huge);
  PinnedBlock* create_shared(std::size_t nbytes, int node, bool huge);
  PinnedBlock* open_shared(const std::string& name);
  void free(PinnedBlock* block);

  // The block holding [pointer, pointer + nbytes) is used by the stream up to `point`. False when
  // no block in use holds that range.
  bool record_use(std::uintptr_t pointer, std::size_t nbytes, const StreamPoint& point);
  bool holds(std::uintptr_t pointer, std::size_t nbytes) const;
  bool anything_in_use() const { return handed_out_.load(std::memory_order_acquire) != 0; }

  bool is_pinned(std::uintptr_t pointer, std::size_t nbytes) const;
  void register_range(std::uintptr_t pointer, std::size_t nbytes);
  void unregister_range(std::uintptr_t pointer, std::size_t nbytes);

  PinnedPoolStats stats() const;
  void set_limit(std::size_t nbytes);
  std::size_t trim();

  static std::size_t size_class(std::size_t nbytes, bool huge);

 private:
  using Key = std::tuple<std::size_t, int, bool>;

  PinnedPool();
  PinnedBlock* find(std::uintptr_t pointer, std::size_t nbytes) const;
  void hand_out(PinnedBlock* block);
  void reap();
  std::size_t evict(std::size_t at_least);
  void destroy(PinnedBlock* block);
  void account(const PinnedBlock& block, bool added);
  void check_node(int node) const;
  [[noreturn]] void refuse(std::size_t nbytes, const std::string& why);
  void after_fork_in_child();

  mutable std::mutex mutex_;
  std::map<std::uintptr_t, PinnedBlock*> in_use_;
  std::map<Key, std::vector<PinnedBlock*>> free_;
  std::list<PinnedBlock*> pending_;  // given back, still used by streams
  std::map<std::uintptr_t, std::size_t> registered_;
  std::atomic<std::size_t> handed_out_{0};
  std::size_t pending_bytes_ = 0;
  PinnedPoolStats stats_;
};

}  // namespace accel_cpu
