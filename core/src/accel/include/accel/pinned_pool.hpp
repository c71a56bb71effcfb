// The caching, stream-aware pool of page-locked host memory. One per library: locks are the
// process's, and how they are taken is the PageLock's matter.
//
// Blocks come in size classes: powers of two from 4096 bytes to 2 MiB, then eighths between powers
// of two. A block given back waits until the streams recorded with it are done, then serves
// requests of the same class, node and kind of pages. The bound is on in_use + cached; when it is
// reached, cached blocks that no stream uses go back to the system first. Shared segments and
// registered ranges are counted apart.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "fault.hpp"
#include "fork.hpp"
#include "host_pages.hpp"
#include "page_lock.hpp"
#include "shared_segment.hpp"
#include "stream_point.hpp"

namespace accel {

struct PinnedBlock {
  char* base = nullptr;
  std::size_t capacity = 0;
  std::size_t nbytes = 0;  // as asked for
  int node = -1;
  bool wants_huge = false;
  bool huge = false;
  bool locked = false;
  bool from_lock = false;  // allocated by the PageLock
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
  // Kept for good, and the library's only one: blocks may outlive static destructors, and it is
  // held over forks. `segment_prefix` names its shared segments; no two libraries may share one.
  static PinnedPool& create(std::unique_ptr<PageLock> lock, std::string segment_prefix);

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

  PinnedPool(std::unique_ptr<PageLock> lock, std::string segment_prefix)
      : lock_(std::move(lock)), prefix_(std::move(segment_prefix)) {}
  void lock_block(PinnedBlock& block);
  PinnedBlock* find(std::uintptr_t pointer, std::size_t nbytes) const;
  void hand_out(PinnedBlock* block);
  // What is to be unmapped, and unlocked: that may wait for a device, so never under mutex_.
  using Doomed = std::vector<PinnedBlock*>;
  void reap(Doomed& doomed);
  std::size_t evict(std::size_t at_least, Doomed& doomed);
  void destroy(const Doomed& doomed);
  void account(const PinnedBlock& block, bool added);
  void check_node(int node) const;
  void check_unregistered(std::uintptr_t pointer, std::size_t nbytes) const;
  [[noreturn]] void refuse(std::size_t nbytes, const std::string& why);
  void after_fork_in_child();

  static PinnedPool*& only();

  const std::unique_ptr<PageLock> lock_;
  const std::string prefix_;
  std::mutex registering_;  // before mutex_; held while the system or a driver works on a range
  mutable std::mutex mutex_;
  std::map<std::uintptr_t, PinnedBlock*> in_use_;
  std::map<Key, std::vector<PinnedBlock*>> free_;
  std::list<PinnedBlock*> pending_;  // given back, still used by streams
  std::map<std::uintptr_t, std::size_t> registered_;
  std::atomic<std::size_t> handed_out_{0};
  std::size_t pending_bytes_ = 0;
  PinnedPoolStats stats_;
};

namespace detail {

inline std::uintptr_t address(const PinnedBlock* block) {
  return reinterpret_cast<std::uintptr_t>(block->base);
}

inline bool all_done(const std::vector<StreamPoint>& uses) {
  return std::all_of(uses.begin(), uses.end(), [](const StreamPoint& use) { return use.done(); });
}

inline std::uintptr_t page_floor(std::uintptr_t at) { return at / kPageBytes * kPageBytes; }
inline std::uintptr_t page_ceiling(std::uintptr_t at) { return page_floor(at + kPageBytes - 1); }

}  // namespace detail

inline PinnedPool*& PinnedPool::only() {
  static PinnedPool* pool = nullptr;
  return pool;
}

inline PinnedPool& PinnedPool::create(std::unique_ptr<PageLock> lock, std::string segment_prefix) {
  only() = new PinnedPool(std::move(lock), std::move(segment_prefix));
  around_fork(
      [] {
        only()->registering_.lock();
        only()->mutex_.lock();
      },
      [](bool in_child) {
        if (in_child) only()->after_fork_in_child();
        only()->mutex_.unlock();
        only()->registering_.unlock();
      });
  return *only();
}

// Page locks are not inherited; the memory itself is, copied on write.
inline void PinnedPool::after_fork_in_child() {
  const auto unlock = [](PinnedBlock* block) {
    block->locked = false;
    block->note = "not page-locked: allocated before this process was forked";
    block->uses.clear();  // those streams run in the parent, on the parent's copy
  };
  for (auto& [base, block] : in_use_) unlock(block);
  for (auto& [key, blocks] : free_) std::for_each(blocks.begin(), blocks.end(), unlock);
  std::for_each(pending_.begin(), pending_.end(), unlock);
  registered_.clear();
  stats_.locked = stats_.registered = 0;
}

inline std::size_t PinnedPool::size_class(std::size_t nbytes, bool huge) {
  if (nbytes > (std::size_t{1} << 62)) throw std::length_error("no memory is that large");
  std::size_t size = kPageBytes;
  while (size < nbytes && size < kHugePageBytes) size *= 2;
  if (size < nbytes) {
    while (size * 2 <= nbytes) size *= 2;
    const std::size_t step = size / 8;
    size = (nbytes + step - 1) / step * step;
  }
  return huge ? (size + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes : size;
}

inline void PinnedPool::check_node(int node) const {
  const auto& nodes = numa_nodes();
  if (node == -1 || std::find(nodes.begin(), nodes.end(), node) != nodes.end()) return;
  std::string known;
  for (const int each : nodes) known += (known.empty() ? "" : ", ") + std::to_string(each);
  throw ArgumentFault(ArgumentFault::Kind::Argument, "numa_node",
                      "one of this machine's NUMA nodes: " + known, std::to_string(node));
}

// --- handing out and taking back -----------------------------------------------------------------

inline PinnedBlock* PinnedPool::allocate(std::size_t nbytes, int node, bool huge) {
  check_node(node);
  if (nbytes > (std::size_t{1} << 62)) refuse(nbytes, "no address space is that large");
  const std::size_t capacity = size_class(nbytes, huge);
  Doomed doomed;
  const auto reuse_or_reserve = [&]() -> PinnedBlock* {
    std::lock_guard<std::mutex> lock(mutex_);
    reap(doomed);
    auto& same = free_[Key{capacity, node, huge}];
    if (!same.empty()) {
      PinnedBlock* block = same.back();
      same.pop_back();
      stats_.cached -= capacity;
      block->nbytes = nbytes;
      ++stats_.cache_hits;
      hand_out(block);
      return block;
    }
    if (stats_.limit != 0) {
      const std::size_t held = stats_.in_use + stats_.cached;
      if (held + capacity > stats_.limit) evict(held + capacity - stats_.limit, doomed);
      if (stats_.in_use + stats_.cached + capacity > stats_.limit) {
        throw Fault(Fault::Kind::OutOfMemory,
                    "the pinned pool is bounded to " + std::to_string(stats_.limit) +
                        " bytes and " + std::to_string(stats_.in_use) + " are in use, " +
                        std::to_string(pending_bytes_) +
                        " are given back but still used by streams: " + std::to_string(capacity) +
                        " more were asked for. Free buffers, synchronise the streams, or raise the "
                        "bound with set_limit");
      }
    }
    stats_.in_use += capacity;  // reserved while the lock is let go
    return nullptr;
  };
  PinnedBlock* cached = nullptr;
  try {
    cached = reuse_or_reserve();
  } catch (...) {
    destroy(doomed);
    throw;
  }
  destroy(doomed);
  if (cached != nullptr) return cached;
  auto block = std::make_unique<PinnedBlock>();
  block->capacity = capacity;
  block->nbytes = nbytes;
  block->node = node;
  block->wants_huge = huge;
  const auto obtain = [&] {
    if (node == -1 && !huge && lock_->allocates()) {
      std::string why;
      block->base = static_cast<char*>(lock_->allocate(capacity, why));
      if (block->base == nullptr) {
        throw Fault(Fault::Kind::OutOfMemory, std::to_string(capacity) +
                                                  " bytes of page-locked memory cannot be had: " +
                                                  why);
      }
      block->from_lock = block->locked = true;
      return;
    }
    const HostPages pages = map_host_pages(capacity, node, huge);
    block->base = static_cast<char*>(pages.base);
    block->huge = pages.huge;
    block->note = pages.note;
    try {
      lock_->prepare(block->base, capacity);
      lock_block(*block);
    } catch (...) {
      unmap_host_pages(block->base, capacity);
      throw;
    }
  };
  try {
    try {
      obtain();
    } catch (const Fault&) {
      if (trim() == 0) throw;
      obtain();
    }
  } catch (const Fault& fault) {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.in_use -= capacity;
    throw Fault(Fault::Kind::OutOfMemory, std::string(fault.what()) + "; the pinned pool has " +
                                              std::to_string(stats_.in_use) + " bytes in use and " +
                                              std::to_string(stats_.cached) + " cached");
  }
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.in_use -= capacity;
  account(*block, true);
  hand_out(block.get());
  return block.release();
}

// Locks the block's pages, or notes why they are not; Fault OutOfMemory where they must be.
inline void PinnedPool::lock_block(PinnedBlock& block) {
  std::string why;
  block.locked = lock_->lock(block.base, block.capacity, why);
  if (block.locked) return;
  if (!lock_->optional()) {
    throw Fault(Fault::Kind::OutOfMemory,
                std::to_string(block.capacity) + " bytes could not be page-locked: " + why);
  }
  detail::append_sentence(block.note, "not page-locked: " + why);
}

inline void PinnedPool::refuse(std::size_t nbytes, const std::string& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  throw Fault(Fault::Kind::OutOfMemory, std::to_string(nbytes) + " bytes were asked for: " + why +
                                            "; the pinned pool has " +
                                            std::to_string(stats_.in_use) + " bytes in use");
}

inline void PinnedPool::hand_out(PinnedBlock* block) {
  in_use_[detail::address(block)] = block;
  handed_out_.store(in_use_.size(), std::memory_order_release);
  if (block->segment == nullptr) {
    ++stats_.allocations;
    stats_.in_use += block->capacity;
    stats_.peak_in_use = std::max(stats_.peak_in_use, stats_.in_use);
  } else {
    stats_.shared += block->capacity;
  }
}

inline void PinnedPool::account(const PinnedBlock& block, bool added) {
  const std::size_t change = added ? block.capacity : std::size_t{0} - block.capacity;
  if (block.locked) stats_.locked += change;
  if (block.huge) stats_.huge += change;
}

inline void PinnedPool::free(PinnedBlock* block) {
  Doomed doomed;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    in_use_.erase(detail::address(block));
    handed_out_.store(in_use_.size(), std::memory_order_release);
  }
  const bool busy = !detail::all_done(block->uses);  // not under the lock: it may ask a driver
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (block->segment != nullptr) {
      stats_.shared -= block->capacity;
      block->segment->unlink();
    } else {
      stats_.in_use -= block->capacity;
      stats_.cached += block->capacity;
    }
    if (busy) {
      ++stats_.waits;
      if (block->segment == nullptr) pending_bytes_ += block->capacity;
      pending_.push_back(block);
      return;
    }
    block->uses.clear();
    if (block->segment != nullptr) {
      doomed.push_back(block);
    } else {
      free_[Key{block->capacity, block->node, block->wants_huge}].push_back(block);
    }
  }
  destroy(doomed);
}

// Moves blocks whose streams are done to the free lists. The lock is held.
inline void PinnedPool::reap(Doomed& doomed) {
  for (auto at = pending_.begin(); at != pending_.end();) {
    PinnedBlock* block = *at;
    if (!detail::all_done(block->uses)) {
      ++at;
      continue;
    }
    at = pending_.erase(at);
    block->uses.clear();
    if (block->segment != nullptr) {
      doomed.push_back(block);
    } else {
      pending_bytes_ -= block->capacity;
      free_[Key{block->capacity, block->node, block->wants_huge}].push_back(block);
    }
  }
}

// Takes cached blocks out, largest first, until `at_least` bytes are to go back to the system. The
// lock is held.
inline std::size_t PinnedPool::evict(std::size_t at_least, Doomed& doomed) {
  std::size_t gone = 0;
  for (auto at = free_.rbegin(); at != free_.rend() && gone < at_least; ++at) {
    auto& blocks = at->second;
    while (!blocks.empty() && gone < at_least) {
      PinnedBlock* block = blocks.back();
      blocks.pop_back();
      gone += block->capacity;
      stats_.cached -= block->capacity;
      account(*block, false);
      doomed.push_back(block);
    }
  }
  return gone;
}

inline void PinnedPool::destroy(const Doomed& doomed) {
  for (PinnedBlock* block : doomed) {
    if (block->from_lock) {
      lock_->free(block->base);
      delete block;
      continue;
    }
    if (block->locked) lock_->before_unmapping(block->base, block->capacity);
    if (block->segment == nullptr) unmap_host_pages(block->base, block->capacity);
    delete block;  // a shared segment is unmapped by its destructor
  }
}

inline std::size_t PinnedPool::trim() {
  Doomed doomed;
  std::size_t gone = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reap(doomed);
    gone = evict(SIZE_MAX, doomed);
    free_.clear();
  }
  destroy(doomed);
  return gone;
}

inline void PinnedPool::set_limit(std::size_t nbytes) {
  Doomed doomed;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.limit = nbytes;
    reap(doomed);
    const std::size_t held = stats_.in_use + stats_.cached;
    if (nbytes != 0 && held > nbytes) evict(held - nbytes, doomed);
  }
  destroy(doomed);
}

inline PinnedPoolStats PinnedPool::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

// --- shared segments -----------------------------------------------------------------------------

inline PinnedBlock* PinnedPool::create_shared(std::size_t nbytes, int node, bool huge) {
  check_node(node);
  auto block = std::make_unique<PinnedBlock>();
  block->segment = SharedSegment::create(prefix_, nbytes);
  block->base = static_cast<char*>(block->segment->data());
  block->capacity = block->segment->mapped_bytes();
  block->nbytes = nbytes;
  block->node = node;
  std::string why;
  if (node >= 0 && !bind_to_node(block->base, block->capacity, node, why)) {
    throw Fault(Fault::Kind::OutOfMemory,
                "a shared segment on NUMA node " + std::to_string(node) + ": " + why);
  }
  if (huge) {
    block->huge = advise_huge_pages(block->base, block->capacity, true, why);
    block->note = block->huge ? "transparent huge pages (MADV_HUGEPAGE)" : "no huge pages: " + why;
  }
  lock_block(*block);
  std::lock_guard<std::mutex> lock(mutex_);
  hand_out(block.get());
  return block.release();
}

inline PinnedBlock* PinnedPool::open_shared(const std::string& name) {
  auto block = std::make_unique<PinnedBlock>();
  block->segment = SharedSegment::open(name, prefix_, "handle");
  block->base = static_cast<char*>(block->segment->data());
  block->capacity = block->segment->mapped_bytes();
  block->nbytes = block->segment->nbytes();
  lock_block(*block);
  std::lock_guard<std::mutex> lock(mutex_);
  hand_out(block.get());
  return block.release();
}

// --- asking --------------------------------------------------------------------------------------

inline PinnedBlock* PinnedPool::find(std::uintptr_t pointer, std::size_t nbytes) const {
  auto at = in_use_.upper_bound(pointer);
  if (at == in_use_.begin()) return nullptr;
  PinnedBlock* block = (--at)->second;
  const std::size_t offset = pointer - detail::address(block);
  return offset <= block->capacity && nbytes <= block->capacity - offset ? block : nullptr;
}

inline bool PinnedPool::holds(std::uintptr_t pointer, std::size_t nbytes) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return find(pointer, nbytes) != nullptr;
}

inline bool PinnedPool::record_use(std::uintptr_t pointer, std::size_t nbytes,
                                   const StreamPoint& point) {
  std::lock_guard<std::mutex> lock(mutex_);
  PinnedBlock* block = find(pointer, nbytes);
  if (block == nullptr) return false;
  auto& uses = block->uses;
  for (StreamPoint& use : uses) {
    if (use.same_stream(point)) {  // a later place in the same stream covers the earlier
      use = point;
      return true;
    }
  }
  uses.erase(
      std::remove_if(uses.begin(), uses.end(), [](const StreamPoint& use) { return use.done(); }),
      uses.end());
  uses.push_back(point);
  return true;
}

inline bool PinnedPool::is_pinned(std::uintptr_t pointer, std::size_t nbytes) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::uintptr_t end = pointer + nbytes;
  std::uintptr_t covered = pointer;
  do {  // each round extends what is covered by one block or one registered range
    const std::uintptr_t before = covered;
    if (const PinnedBlock* block = find(covered, 1); block != nullptr && block->locked) {
      covered = detail::address(block) + block->capacity;
    } else if (auto at = registered_.upper_bound(covered); at != registered_.begin()) {
      --at;
      covered = std::max(covered, at->first + at->second);
    }
    if (covered == before) return false;
  } while (covered < end);
  return true;
}

// --- memory of others ----------------------------------------------------------------------------

inline void PinnedPool::check_unregistered(std::uintptr_t pointer, std::size_t nbytes) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto overlaps = [&](std::uintptr_t begin, std::size_t size) {
    return begin < pointer + nbytes && pointer < begin + size;
  };
  const std::string given = std::to_string(nbytes) + " bytes at " + std::to_string(pointer);
  auto at = registered_.upper_bound(pointer + nbytes - 1);
  if (at != registered_.begin() && overlaps(std::prev(at)->first, std::prev(at)->second)) {
    --at;
    throw ArgumentFault(ArgumentFault::Kind::Overlap, "memory",
                        "a range that shares no byte with a registered one",
                        given + ", while " + std::to_string(at->second) + " bytes at " +
                            std::to_string(at->first) + " are registered",
                        "unregister that range first");
  }
  auto block = in_use_.upper_bound(pointer + nbytes - 1);
  if (block != in_use_.begin() &&
      overlaps(std::prev(block)->first, std::prev(block)->second->capacity)) {
    throw ArgumentFault(
        ArgumentFault::Kind::Overlap, "memory", "memory from outside the pinned pool",
        given + ", which the pool allocated", "pool memory needs no registration");
  }
}

inline void PinnedPool::register_range(std::uintptr_t pointer, std::size_t nbytes) {
  std::lock_guard<std::mutex> one_at_a_time(registering_);
  check_unregistered(pointer, nbytes);
  // A device's driver takes bytes; the system takes pages, which may also be a neighbour's.
  const bool pages = lock_->by_page();
  const std::uintptr_t first = pages ? detail::page_floor(pointer) : pointer;
  const std::uintptr_t last = pages ? detail::page_ceiling(pointer + nbytes) : pointer + nbytes;
  std::string why;
  const bool locked = lock_->lock(reinterpret_cast<void*>(first), last - first, why);
  if (!locked && !range_is_mapped(reinterpret_cast<void*>(first), last - first)) {
    throw ArgumentFault(
        ArgumentFault::Kind::Argument, "memory", "mapped host memory",
        std::to_string(nbytes) + " bytes at " + std::to_string(pointer) +
            ", part of which is not mapped");
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (!locked) {
    throw Fault(Fault::Kind::OutOfMemory, "registering " + std::to_string(nbytes) +
                                              " bytes, with " +
                                              std::to_string(stats_.locked + stats_.registered) +
                                              " bytes locked already: " + why);
  }
  registered_[pointer] = nbytes;
  stats_.registered += nbytes;
}

inline void PinnedPool::unregister_range(std::uintptr_t pointer, std::size_t nbytes) {
  std::lock_guard<std::mutex> one_at_a_time(registering_);
  std::uintptr_t first = pointer, last = pointer + nbytes;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto at = registered_.find(pointer);
    if (at == registered_.end() || at->second != nbytes) {
      throw ArgumentFault(ArgumentFault::Kind::Argument, "memory", "a range that was registered",
                          std::to_string(nbytes) + " bytes at " + std::to_string(pointer) +
                              (at == registered_.end()
                                   ? ""
                                   : ", registered with " + std::to_string(at->second) + " bytes"));
    }
    if (lock_->by_page()) {
      // Locks do not nest: the first and the last page may also belong to a neighbour that stays.
      first = detail::page_floor(first);
      last = detail::page_ceiling(last);
      if (at != registered_.begin()) {
        const auto before = std::prev(at);
        first = std::max(first, detail::page_ceiling(before->first + before->second));
      }
      if (std::next(at) != registered_.end()) {
        last = std::min(last, detail::page_floor(std::next(at)->first));
      }
    }
    registered_.erase(at);
    stats_.registered -= nbytes;
  }
  if (first < last) lock_->unlock(reinterpret_cast<void*>(first), last - first);
}

}  // namespace accel
