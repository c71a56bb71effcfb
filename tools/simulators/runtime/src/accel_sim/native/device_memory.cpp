#include "device_memory.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <sstream>
#include <vector>

#include "accel_sim/failure.hpp"
#include "accel_sim/modes.hpp"
#include "address_space.hpp"
#include "ledger.hpp"

namespace accel_sim {
namespace {

constexpr int kPoison = 0xA5;

// The gap keeps the address one past an allocation out of the next one.
std::size_t room_of(std::size_t bytes) { return round_up(bytes, kGrain) + kGrain; }

}  // namespace

DeviceMemory::DeviceMemory(int device)
    : device_(device), file_(anonymous_file("accel_sim_device", address_space().region)) {
  // The first bytes stay nobody's: one before the first allocation is device memory, not the
  // host's.
  free_[kLargePage] = address_space().region - kLargePage;
  map_alias(address_space().region_of(device), address_space().region, file_, 0);
}

void DeviceMemory::count(std::size_t bytes) {
  const std::size_t limit = modes().memory;
  if (bytes > limit || used_ > limit - bytes) {
    std::ostringstream text;
    text << "device " << device_ << " is out of memory: " << bytes << " bytes asked, "
         << limit - used_ << " of " << limit << " free";
    throw Failure(Kind::out_of_memory, text.str());
  }
  used_ += bytes;
  peak_ = std::max(peak_, used_);
}

void DeviceMemory::charge(std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  count(bytes);
}

void DeviceMemory::refund(std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  used_ -= bytes;
}

std::size_t DeviceMemory::take(std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  count(bytes);
  const std::size_t room = room_of(bytes);
  auto piece = free_.lower_bound(next_);
  for (std::size_t looked = 0; looked <= free_.size(); ++looked, ++piece) {
    if (piece == free_.end()) piece = free_.begin();
    if (piece == free_.end()) break;
    if (piece->second < room) continue;
    const std::size_t offset = piece->first;
    const std::size_t left = piece->second - room;
    free_.erase(piece);
    if (left) free_[offset + room] = left;
    next_ = offset + room;
    return offset;
  }
  used_ -= bytes;
  throw Failure(Kind::out_of_memory, "device " + std::to_string(device_) +
                                         " is out of addresses for " + std::to_string(bytes) +
                                         " bytes");
}

void DeviceMemory::give(std::size_t offset, std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  used_ -= bytes;
  std::size_t room = room_of(bytes);
  // The host's memory goes back too: whole pages inside only, the neighbours keep theirs.
  const std::size_t first = round_up(offset, kPage);
  const std::size_t last = (offset + bytes) / kPage * kPage;
  if (last > first) {
    fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first),
              static_cast<off_t>(last - first));
  }
  auto after = free_.lower_bound(offset);
  if (after != free_.end() && offset + room == after->first) {
    room += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin()) {
    auto before = std::prev(after);
    if (before->first + before->second == offset) {
      before->second += room;
      return;
    }
  }
  free_[offset] = room;
}

MemoryUse DeviceMemory::use() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return {modes().memory, used_, peak_};
}

DeviceMemory& device_memory(int device) {
  static std::mutex* const mutex = new std::mutex;
  static auto* const memories = new std::map<int, std::unique_ptr<DeviceMemory>>;
  std::lock_guard<std::mutex> lock(*mutex);
  std::unique_ptr<DeviceMemory>& memory = (*memories)[device];
  if (!memory) memory = std::make_unique<DeviceMemory>(device);
  return *memory;
}

void* allocate_device(Device& device, std::size_t bytes) {
  if (bytes == 0) throw Failure(Kind::invalid_argument, "0 bytes of device memory were asked for");
  if (const Fault* planned = fault("oom")) {
    const std::string text = "device " + std::to_string(device.index()) +
                             " is out of memory (a planned fault): " + std::to_string(bytes) +
                             " bytes asked";
    if (planned->code) throw Failure(planned->code, text);
    throw Failure(Kind::out_of_memory, text);
  }
  device.set_active(true);
  const std::size_t offset = device_memory(device.index()).take(bytes);
  Range range;
  range.base = address_space().region_of(device.index()) + offset;
  range.bytes = bytes;
  range.device = device.index();
  range.origin = "device";
  enter_range(range);
  // Fresh device memory holds what was there before: nothing may count on zeros.
  if (modes().strict) std::memset(address_space().alias(range.base), kPoison, bytes);
  return range.base;
}

void free_device(void* pointer) {
  if (!pointer) throw Failure(Kind::invalid_argument, "device memory to free has no address");
  const std::optional<Range> known = range_at(pointer);
  if (!known || known->base != pointer || known->origin != "device") {
    throw Failure(Kind::invalid_argument,
                  describe(pointer, 0) + ": not the beginning of a live device allocation");
  }
  const std::optional<Range> range = leave_range(pointer);
  if (!range) throw Failure(Kind::use_after_free, describe(pointer, 0) + " were freed already");
  char* const region = address_space().region_of(range->device);
  device_memory(range->device).give(static_cast<std::size_t>(range->base - region), range->bytes);
}

void free_all(Device& device) {
  for (const Range& range : device_ranges(device.index())) {
    if (range.origin == "device") free_device(range.base);
  }
}

MemoryUse memory_use(const Device& device) { return device_memory(device.index()).use(); }

}  // namespace accel_sim
