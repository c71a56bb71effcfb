#include "block_cache.hpp"

#include <algorithm>

#include "events.hpp"
#include "torch_mlu/devices.hpp"

namespace torch_mlu {
namespace {

constexpr std::size_t kGrain = 512;
// More than this is given back, as far as that needs no waiting: the bytes are the machine's.
constexpr std::size_t kKeptAtMost = 256u << 20;

std::size_t rounded(std::size_t bytes) { return (bytes + kGrain - 1) / kGrain * kGrain; }

// A stream that failed is done as well; who synchronises it is told.
bool passed(void* event) noexcept {
  try {
    return query_event(event);
  } catch (...) {
    return true;
  }
}

void wait(void* event) noexcept {
  try {
    synchronize_event(event);
  } catch (...) {
  }
}

}  // namespace

void BlockCache::Sums::add(std::size_t amount) {
  current += amount;
  added += amount;
  peak = std::max(peak, current);
}

void BlockCache::Sums::take(std::size_t amount) {
  current -= amount;
  taken += amount;
}

void* BlockCache::allocate(std::size_t bytes, c10::StreamId owner) {
  const std::size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  collect(false);
  Block block;
  const auto found = kept_.find({owner, size});
  if (found != kept_.end() && !found->second.empty()) {
    block = std::move(found->second.back());
    found->second.pop_back();
    kept_bytes_ -= size;
  } else {
    trim(size);
    block.memory = source_.make(size);
    if (block.memory == nullptr) {
      ++use_.retries;
      collect(true);
      release_kept();
      block.memory = source_.make(size);
    }
    if (block.memory == nullptr) {
      ++use_.failures;
      return nullptr;
    }
    use_.reserved.add(size);
    use_.segments.add(1);
  }
  block.bytes = size;
  block.owner = owner;
  block.users.clear();
  void* const memory = block.memory;
  taken_[memory] = std::move(block);
  use_.allocated.add(size);
  use_.blocks.add(1);
  return memory;
}

bool BlockCache::free(void* memory) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    const auto found = taken_.find(memory);
    if (found == taken_.end()) return false;
    Block block = std::move(found->second);
    taken_.erase(found);
    use_.allocated.take(block.bytes);
    use_.blocks.take(1);
    Pending pending;
    for (const auto& [device, id] : block.users) {
      const c10::Stream user(c10::Stream::UNSAFE, device_at(device), id);
      void* const event = create_event(device, false);
      record_event(event, user);
      pending.events.push_back(event);
    }
    if (pending.events.empty()) {
      keep(std::move(block));
    } else {
      pending.block = std::move(block);
      pending_.push_back(std::move(pending));
    }
  } catch (...) {
    // The runtime is gone or broken: the block is lost, which harms nobody any more.
  }
  return true;
}

void BlockCache::record(const void* inside, const c10::Stream& stream) {
  const std::lock_guard lock(mutex_);
  auto after = taken_.upper_bound(inside);
  if (after == taken_.begin()) return;
  Block& block = std::prev(after)->second;
  if (static_cast<const char*>(inside) >= static_cast<char*>(block.memory) + block.bytes) return;
  if (stream.device_index() == device_ && stream.id() == block.owner) return;
  block.users.insert({stream.device_index(), stream.id()});
}

void BlockCache::empty() {
  const std::lock_guard lock(mutex_);
  collect(true);
  release_kept();
}

BlockCache::Use BlockCache::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

void BlockCache::reset_peaks() {
  const std::lock_guard lock(mutex_);
  for (Sums* sums : {&use_.allocated, &use_.reserved, &use_.blocks, &use_.segments}) {
    sums->peak = sums->current;
  }
}

void BlockCache::reset_totals() {
  const std::lock_guard lock(mutex_);
  for (Sums* sums : {&use_.allocated, &use_.reserved, &use_.blocks, &use_.segments}) {
    sums->added = sums->taken = 0;
  }
  use_.retries = use_.failures = 0;
}

void BlockCache::collect(bool waiting) {
  for (auto each = pending_.begin(); each != pending_.end();) {
    if (waiting) std::for_each(each->events.begin(), each->events.end(), wait);
    if (!waiting && !std::all_of(each->events.begin(), each->events.end(), passed)) {
      ++each;
      continue;
    }
    std::for_each(each->events.begin(), each->events.end(), destroy_event);
    keep(std::move(each->block));
    each = pending_.erase(each);
  }
}

void BlockCache::keep(Block block) {
  kept_bytes_ += block.bytes;
  kept_[{block.owner, block.bytes}].push_back(std::move(block));
}

// Makes room for a block in what is kept, from owners that have nothing left to do.
void BlockCache::trim(std::size_t wanted) {
  for (auto each = kept_.begin(); each != kept_.end();) {
    if (kept_bytes_ + wanted <= kKeptAtMost) return;
    if (!source_.idle(each->first.first)) {
      ++each;
      continue;
    }
    for (const Block& block : each->second) {
      release(block);
      kept_bytes_ -= block.bytes;
    }
    each = kept_.erase(each);
  }
}

void BlockCache::release_kept() {
  for (const auto& [key, blocks] : kept_) {
    for (const Block& block : blocks) release(block);
  }
  kept_.clear();
  kept_bytes_ = 0;
}

void BlockCache::release(const Block& block) {
  source_.finish(block.owner);
  source_.release(block.memory);
  use_.reserved.take(block.bytes);
  use_.segments.take(1);
}

}  // namespace torch_mlu
