#include "ledger.hpp"

#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <sstream>

#include "accel_sim/failure.hpp"
#include "address_space.hpp"

namespace accel_sim {
namespace {

constexpr std::size_t kRemembered = 4096;

struct Ledger {
  std::shared_mutex mutex;
  std::map<const char*, Range> live;  // by base
  std::deque<Range> freed;            // the latest first
};

Ledger& ledger() {
  static Ledger* const one = new Ledger;
  return *one;
}

const Range* find(const Ledger& all, const void* pointer) {
  auto after = all.live.upper_bound(static_cast<const char*>(pointer));
  if (after == all.live.begin()) return nullptr;
  const Range& range = std::prev(after)->second;
  const auto offset = static_cast<const char*>(pointer) - range.base;
  return static_cast<std::size_t>(offset) < range.bytes ? &range : nullptr;
}

const Range* find_freed(const Ledger& all, const void* pointer) {
  for (const Range& range : all.freed) {
    const auto offset = static_cast<const char*>(pointer) - range.base;
    if (static_cast<std::size_t>(offset) < range.bytes) return &range;
  }
  return nullptr;
}

std::string span_text(const void* pointer, std::size_t bytes) {
  std::ostringstream text;
  text << bytes << " bytes at " << pointer;
  return text.str();
}

// The bytes from `offset` of a range to the end of the mappings that follow it without a gap.
std::size_t reach(const Ledger& all, const Range& range, std::size_t offset, std::size_t wanted) {
  std::size_t reached = range.bytes - offset;
  if (range.origin != "mapping") return reached;
  for (auto next = all.live.find(range.base + range.bytes);
       reached < wanted && next != all.live.end() && next->second.origin == "mapping" &&
       next->second.device == range.device;
       next = all.live.find(next->second.base + next->second.bytes)) {
    reached += next->second.bytes;
  }
  return reached;
}

[[noreturn]] void refuse(const Ledger& all, const Range* range, const void* pointer,
                         std::size_t bytes) {
  std::ostringstream text;
  text << span_text(pointer, bytes);
  if (range) {
    text << " run over the end of the allocation of " << range->bytes << " bytes at "
         << static_cast<const void*>(range->base);
    if (range->device >= 0) text << " on device " << range->device;
    throw Failure(Kind::out_of_bounds, text.str());
  }
  if (const Range* old = find_freed(all, pointer)) {
    text << " lie in device memory that was freed (" << old->bytes << " bytes at "
         << static_cast<const void*>(old->base) << ")";
    throw Failure(Kind::use_after_free, text.str());
  }
  text << " lie in no live allocation of device memory";
  throw Failure(Kind::out_of_bounds, text.str());
}

}  // namespace

void enter_range(const Range& range) {
  Ledger& all = ledger();
  std::unique_lock<std::shared_mutex> lock(all.mutex);
  const auto next = all.live.lower_bound(range.base);
  const bool meets_next = next != all.live.end() && next->first < range.base + range.bytes;
  if (meets_next || find(all, range.base)) {
    throw Failure(Kind::host_registration, span_text(range.base, range.bytes) +
                                               " overlap memory that is known already");
  }
  all.live[range.base] = range;
}

std::optional<Range> leave_range(const void* base) {
  Ledger& all = ledger();
  std::unique_lock<std::shared_mutex> lock(all.mutex);
  auto found = all.live.find(static_cast<const char*>(base));
  if (found == all.live.end()) return std::nullopt;
  Range range = found->second;
  all.live.erase(found);
  if (address_space().holds(range.base)) {
    all.freed.push_front(range);
    if (all.freed.size() > kRemembered) all.freed.pop_back();
  }
  return range;
}

std::optional<Range> range_at(const void* pointer) {
  Ledger& all = ledger();
  std::shared_lock<std::shared_mutex> lock(all.mutex);
  const Range* range = find(all, pointer);
  return range ? std::optional<Range>(*range) : std::nullopt;
}

std::vector<Range> device_ranges(int device) {
  Ledger& all = ledger();
  std::shared_lock<std::shared_mutex> lock(all.mutex);
  std::vector<Range> ranges;
  for (const auto& entry : all.live) {
    if (entry.second.device == device) ranges.push_back(entry.second);
  }
  return ranges;
}

std::string describe(const void* pointer, std::size_t bytes) { return span_text(pointer, bytes); }

void* host_of(const void* pointer, std::size_t bytes) {
  const AddressSpace& space = address_space();
  char* const plain = const_cast<char*>(static_cast<const char*>(pointer));
  const bool guarded = space.holds(pointer);
  if (bytes == 0) return guarded ? space.alias(pointer) : plain;
  Ledger& all = ledger();
  std::shared_lock<std::shared_mutex> lock(all.mutex);
  const Range* range = find(all, pointer);
  if (!range && !guarded) {
    if (!pointer) throw Failure(Kind::invalid_argument, span_text(pointer, bytes) + ": no address");
    return plain;
  }
  if (!range) refuse(all, nullptr, pointer, bytes);
  const auto offset = static_cast<std::size_t>(plain - range->base);
  if (bytes > reach(all, *range, offset, bytes)) {
    // Memory behind a registered range may still be the program's own: only ours ends there.
    if (range->place == Place::registered && !guarded) return plain;
    refuse(all, range, pointer, bytes);
  }
  if (range->host) return range->host + offset;
  return guarded ? space.alias(pointer) : plain;
}

Where where_is(const void* pointer) {
  Where where;
  if (const std::optional<Range> range = range_at(pointer)) {
    where.place = range->place;
    where.device = range->device;
    where.base = range->base;
    where.bytes = range->bytes;
  } else if (is_device_address(pointer)) {
    where.place = Place::device;
  }
  return where;
}

bool is_device_address(const void* pointer) { return address_space().holds(pointer); }

}  // namespace accel_sim
