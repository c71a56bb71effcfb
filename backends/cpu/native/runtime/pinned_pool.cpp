#include "pinned_pool.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "fault.hpp"
#include "host_pages.hpp"
#include "lifecycle.hpp"

namespace accel_cpu {
namespace {

constexpr char kPinnedPrefix[] = "accel-pinned";

std::uintptr_t address(const PinnedBlock* block) {
  return reinterpret_cast<std::uintptr_t>(block->base);
}

bool all_done(const std::vector<StreamPoint>& uses) {
  return std::all_of(uses.begin(), uses.end(), [](const StreamPoint& use) { return use.done(); });
}

std::uintptr_t page_floor(std::uintptr_t at) { return at / kPageBytes * kPageBytes; }
std::uintptr_t page_ceiling(std::uintptr_t at) { return page_floor(at + kPageBytes - 1); }

}  // namespace

PinnedPool& PinnedPool::instance() {
  static auto* pool = new PinnedPool;  // buffers may outlive static destructors
  return *pool;
}

PinnedPool::PinnedPool() {
  around_fork([] { instance().mutex_.lock(); },
              [](bool in_child) {
                if (in_child) instance().after_fork_in_child();
                instance().mutex_.unlock();
              });
}

// Page locks are not inherited; the memory itself is, copied on write.
void PinnedPool::after_fork_in_child() {
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

std::size_t PinnedPool::size_class(std::size_t nbytes, bool huge) {
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

void PinnedPool::check_node(int node) const {
  const auto& nodes = numa_nodes();
  if (node == -1 || std::find(nodes.begin(), nodes.end(), node) != nodes.end()) return;
  std::string known;
  for (const int each : nodes) known += (known.empty() ? "" : ", ") + std::to_string(each);
  throw ArgumentFault(ArgumentFault::Kind::Argument, "numa_node",
                      "one of this machine's NUMA nodes: " + known, std::to_string(node));
}

// --- handing out and taking back -----------------------------------------------------------------

PinnedBlock* PinnedPool::allocate(std::size_t nbytes, int node, bool huge) {
  check_node(node);
  if (nbytes > (std::size_t{1} << 62)) refuse(nbytes, "no address space is that large");
  const std::size_t capacity = size_class(nbytes, huge);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reap();
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
      if (held + capacity > stats_.limit) evict(held + capacity - stats_.limit);
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
  }
  auto block = std::make_unique<PinnedBlock>();
  block->capacity = capacity;
  block->nbytes = nbytes;
  block->node = node;
  block->wants_huge = huge;
  HostPages pages;
  try {
    try {
      pages = map_host_pages(capacity, node, huge);
    } catch (const Fault&) {
      if (trim() == 0) throw;
      pages = map_host_pages(capacity, node, huge);
    }
  } catch (const Fault& fault) {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.in_use -= capacity;
    throw Fault(Fault::Kind::OutOfMemory, std::string(fault.what()) + "; the pinned pool has " +
                                              std::to_string(stats_.in_use) + " bytes in use and " +
                                              std::to_string(stats_.cached) + " cached");
  }
  block->base = static_cast<char*>(pages.base);
  block->locked = pages.locked;
  block->huge = pages.huge;
  block->note = std::move(pages.note);
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.in_use -= capacity;
  account(*block, true);
  hand_out(block.get());
  return block.release();
}

void PinnedPool::refuse(std::size_t nbytes, const std::string& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  throw Fault(Fault::Kind::OutOfMemory, std::to_string(nbytes) + " bytes were asked for: " + why +
                                            "; the pinned pool has " +
                                            std::to_string(stats_.in_use) + " bytes in use");
}

void PinnedPool::hand_out(PinnedBlock* block) {
  in_use_[address(block)] = block;
  handed_out_.store(in_use_.size(), std::memory_order_release);
  if (block->segment == nullptr) {
    ++stats_.allocations;
    stats_.in_use += block->capacity;
    stats_.peak_in_use = std::max(stats_.peak_in_use, stats_.in_use);
  } else {
    stats_.shared += block->capacity;
  }
}

void PinnedPool::account(const PinnedBlock& block, bool added) {
  const std::size_t change = added ? block.capacity : std::size_t{0} - block.capacity;
  if (block.locked) stats_.locked += change;
  if (block.huge) stats_.huge += change;
}

void PinnedPool::free(PinnedBlock* block) {
  std::lock_guard<std::mutex> lock(mutex_);
  in_use_.erase(address(block));
  handed_out_.store(in_use_.size(), std::memory_order_release);
  const bool busy = !all_done(block->uses);
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
    destroy(block);
  } else {
    free_[Key{block->capacity, block->node, block->wants_huge}].push_back(block);
  }
}

// Moves blocks whose streams are done to the free lists. The lock is held.
void PinnedPool::reap() {
  for (auto at = pending_.begin(); at != pending_.end();) {
    PinnedBlock* block = *at;
    if (!all_done(block->uses)) {
      ++at;
      continue;
    }
    at = pending_.erase(at);
    block->uses.clear();
    if (block->segment != nullptr) {
      destroy(block);
    } else {
      pending_bytes_ -= block->capacity;
      free_[Key{block->capacity, block->node, block->wants_huge}].push_back(block);
    }
  }
}

// Returns cached blocks to the system, largest first, until `at_least` bytes went. The lock is
// held.
std::size_t PinnedPool::evict(std::size_t at_least) {
  std::size_t gone = 0;
  for (auto at = free_.rbegin(); at != free_.rend() && gone < at_least; ++at) {
    auto& blocks = at->second;
    while (!blocks.empty() && gone < at_least) {
      PinnedBlock* block = blocks.back();
      blocks.pop_back();
      gone += block->capacity;
      stats_.cached -= block->capacity;
      account(*block, false);
      destroy(block);
    }
  }
  return gone;
}

void PinnedPool::destroy(PinnedBlock* block) {
  if (block->segment == nullptr) unmap_host_pages(block->base, block->capacity);
  delete block;  // a shared segment is unmapped by its destructor
}

std::size_t PinnedPool::trim() {
  std::lock_guard<std::mutex> lock(mutex_);
  reap();
  const std::size_t gone = evict(SIZE_MAX);
  free_.clear();
  return gone;
}

void PinnedPool::set_limit(std::size_t nbytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.limit = nbytes;
  reap();
  const std::size_t held = stats_.in_use + stats_.cached;
  if (nbytes != 0 && held > nbytes) evict(held - nbytes);
}

PinnedPoolStats PinnedPool::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

// --- shared segments -----------------------------------------------------------------------------

PinnedBlock* PinnedPool::create_shared(std::size_t nbytes, int node, bool huge) {
  check_node(node);
  auto block = std::make_unique<PinnedBlock>();
  block->segment = SharedSegment::create(kPinnedPrefix, nbytes);
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
  block->locked = lock_pages(block->base, block->capacity, why);
  if (!block->locked)
    block->note += (block->note.empty() ? "" : "; ") + ("not page-locked: " + why);
  std::lock_guard<std::mutex> lock(mutex_);
  hand_out(block.get());
  return block.release();
}

PinnedBlock* PinnedPool::open_shared(const std::string& name) {
  auto block = std::make_unique<PinnedBlock>();
  block->segment = SharedSegment::open(name, kPinnedPrefix, "handle");
  block->base = static_cast<char*>(block->segment->data());
  block->capacity = block->segment->mapped_bytes();
  block->nbytes = block->segment->nbytes();
  std::string why;
  block->locked = lock_pages(block->base, block->capacity, why);
  if (!block->locked) block->note = "not page-locked: " + why;
  std::lock_guard<std::mutex> lock(mutex_);
  hand_out(block.get());
  return block.release();
}

// --- asking --------------------------------------------------------------------------------------

PinnedBlock* PinnedPool::find(std::uintptr_t pointer, std::size_t nbytes) const {
  auto at = in_use_.upper_bound(pointer);
  if (at == in_use_.begin()) return nullptr;
  PinnedBlock* block = (--at)->second;
  const std::size_t offset = pointer - address(block);
  return offset <= block->capacity && nbytes <= block->capacity - offset ? block : nullptr;
}

bool PinnedPool::holds(std::uintptr_t pointer, std::size_t nbytes) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return find(pointer, nbytes) != nullptr;
}

bool PinnedPool::record_use(std::uintptr_t pointer, std::size_t nbytes, const StreamPoint& point) {
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

bool PinnedPool::is_pinned(std::uintptr_t pointer, std::size_t nbytes) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::uintptr_t end = pointer + nbytes;
  std::uintptr_t covered = pointer;
  do {  // each round extends what is covered by one block or one registered range
    const std::uintptr_t before = covered;
    if (const PinnedBlock* block = find(covered, 1); block != nullptr && block->locked) {
      covered = address(block) + block->capacity;
    } else if (auto at = registered_.upper_bound(covered); at != registered_.begin()) {
      --at;
      covered = std::max(covered, at->first + at->second);
    }
    if (covered == before) return false;
  } while (covered < end);
  return true;
}

// --- memory of others ----------------------------------------------------------------------------

void PinnedPool::register_range(std::uintptr_t pointer, std::size_t nbytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto overlaps = [&](std::uintptr_t begin, std::size_t size) {
    return begin < pointer + nbytes && pointer < begin + size;
  };
  const auto given = [&] {
    return std::to_string(nbytes) + " bytes at " + std::to_string(pointer);
  };
  auto at = registered_.upper_bound(pointer + nbytes - 1);
  if (at != registered_.begin() && overlaps(std::prev(at)->first, std::prev(at)->second)) {
    --at;
    throw ArgumentFault(ArgumentFault::Kind::Overlap, "memory",
                        "a range that shares no byte with a registered one",
                        given() + ", while " + std::to_string(at->second) + " bytes at " +
                            std::to_string(at->first) + " are registered",
                        "unregister that range first");
  }
  auto block = in_use_.upper_bound(pointer + nbytes - 1);
  if (block != in_use_.begin() &&
      overlaps(std::prev(block)->first, std::prev(block)->second->capacity)) {
    throw ArgumentFault(
        ArgumentFault::Kind::Overlap, "memory", "memory from outside the pinned pool",
        given() + ", which the pool allocated", "pool memory needs no registration");
  }
  const std::uintptr_t first = page_floor(pointer), last = page_ceiling(pointer + nbytes);
  std::string why;
  if (!lock_pages(reinterpret_cast<void*>(first), last - first, why)) {
    if (!range_is_mapped(reinterpret_cast<void*>(first), last - first)) {
      throw ArgumentFault(ArgumentFault::Kind::Argument, "memory", "mapped host memory",
                          given() + ", part of which is not mapped");
    }
    throw Fault(Fault::Kind::OutOfMemory, "registering " + std::to_string(nbytes) +
                                              " bytes, with " +
                                              std::to_string(stats_.locked + stats_.registered) +
                                              " bytes locked already: " + why);
  }
  registered_[pointer] = nbytes;
  stats_.registered += nbytes;
}

void PinnedPool::unregister_range(std::uintptr_t pointer, std::size_t nbytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto at = registered_.find(pointer);
  if (at == registered_.end() || at->second != nbytes) {
    throw ArgumentFault(ArgumentFault::Kind::Argument, "memory", "a range that was registered",
                        std::to_string(nbytes) + " bytes at " + std::to_string(pointer) +
                            (at == registered_.end()
                                 ? ""
                                 : ", registered with " + std::to_string(at->second) + " bytes"));
  }
  // Locks do not nest: the first and the last page may also belong to a neighbour that stays.
  std::uintptr_t first = page_floor(pointer), last = page_ceiling(pointer + nbytes);
  if (at != registered_.begin()) {
    const auto before = std::prev(at);
    first = std::max(first, page_ceiling(before->first + before->second));
  }
  if (std::next(at) != registered_.end()) last = std::min(last, page_floor(std::next(at)->first));
  if (first < last) unlock_pages(reinterpret_cast<void*>(first), last - first);
  registered_.erase(at);
  stats_.registered -= nbytes;
}

}  // namespace accel_cpu
