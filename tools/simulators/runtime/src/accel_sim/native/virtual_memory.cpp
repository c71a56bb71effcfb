#include "accel_sim/virtual_memory.hpp"

#include <unistd.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "accel_sim/failure.hpp"
#include "accel_sim/memory.hpp"
#include "address_space.hpp"
#include "device_memory.hpp"
#include "ledger.hpp"
#include "shared_page.hpp"

namespace accel_sim {

struct Physical {
  int file = -1;
  int device = -1;        // -1: the host's
  std::size_t bytes = 0;
  bool charged = false;   // counted against the device's memory
  int slot = -1;          // in the shared page, once exported
  ~Physical() {
    close(file);
    if (charged) device_memory(device).refund(bytes);
    if (slot >= 0) give_memory_slot(slot);
  }
};

namespace {

struct Mapping {
  std::size_t bytes;
  std::shared_ptr<Physical> physical;
};

struct VirtualMemory {
  std::mutex mutex;
  std::map<char*, std::size_t> reserved;
  std::map<char*, Mapping> mapped;
  std::unordered_map<Physical*, std::shared_ptr<Physical>> physical;
};

VirtualMemory& all() {
  static VirtualMemory* const one = new VirtualMemory;
  return *one;
}

std::shared_ptr<Physical> alive(VirtualMemory& memory, Physical* handle) {
  auto found = memory.physical.find(handle);
  if (found == memory.physical.end()) {
    throw Failure(Kind::invalid_handle, "not a live handle of physical memory");
  }
  return found->second;
}

void require_large_pages(std::size_t bytes, const char* what) {
  if (bytes == 0 || bytes % kLargePage != 0) {
    throw Failure(Kind::unaligned, std::string(what) + " of " + std::to_string(bytes) +
                                       " bytes: expected a positive multiple of 2 MiB");
  }
}

constexpr int kSlotBits = 12;
constexpr int kFileBits = 20;

struct Handle {
  int pid;
  int file;
  int slot;
};

Handle parsed(std::uint64_t handle) {
  return {static_cast<int>(handle >> (kSlotBits + kFileBits)),
          static_cast<int>(handle >> kSlotBits & ((1u << kFileBits) - 1)),
          static_cast<int>(handle & ((1u << kSlotBits) - 1))};
}

}  // namespace

void* reserve_addresses(std::size_t wanted) {
  if (wanted == 0) throw Failure(Kind::invalid_argument, "0 bytes of addresses were asked for");
  const std::size_t bytes = round_up(wanted, kLargePage);
  VirtualMemory& memory = all();
  char* address = take_window(bytes);
  std::lock_guard<std::mutex> lock(memory.mutex);
  memory.reserved[address] = bytes;
  return address;
}

void release_addresses(void* address) {
  VirtualMemory& memory = all();
  std::lock_guard<std::mutex> lock(memory.mutex);
  auto found = memory.reserved.find(static_cast<char*>(address));
  if (found == memory.reserved.end()) {
    throw Failure(Kind::invalid_argument, "not the beginning of reserved addresses");
  }
  auto mapped = memory.mapped.lower_bound(found->first);
  if (mapped != memory.mapped.end() && mapped->first < found->first + found->second) {
    throw Failure(Kind::invalid_argument, "memory is still mapped in the reserved addresses");
  }
  give_window(found->first, found->second);
  memory.reserved.erase(found);
}

Physical* make_physical(Device* device, std::size_t bytes) {
  require_large_pages(bytes, "physical memory");
  auto fresh = std::make_shared<Physical>();
  fresh->bytes = bytes;
  if (device) {
    fresh->device = device->index();
    device_memory(fresh->device).charge(bytes);
    fresh->charged = true;
    device->set_active(true);
  }
  fresh->file = anonymous_file("accel_sim_physical", bytes);
  VirtualMemory& memory = all();
  std::lock_guard<std::mutex> lock(memory.mutex);
  memory.physical[fresh.get()] = fresh;
  return fresh.get();
}

void free_physical(Physical* physical) {
  VirtualMemory& memory = all();
  std::shared_ptr<Physical> last;
  std::lock_guard<std::mutex> lock(memory.mutex);
  last = alive(memory, physical);
  memory.physical.erase(physical);
}

void map_physical(void* address, std::size_t bytes, std::size_t offset, Physical* handle) {
  require_large_pages(bytes, "a mapping");
  VirtualMemory& memory = all();
  char* const base = static_cast<char*>(address);
  std::lock_guard<std::mutex> lock(memory.mutex);
  std::shared_ptr<Physical> physical = alive(memory, handle);
  auto area = memory.reserved.upper_bound(base);
  if (area == memory.reserved.begin() ||
      base + bytes > std::prev(area)->first + std::prev(area)->second) {
    throw Failure(Kind::invalid_argument, "the addresses to map are not reserved");
  }
  if (offset + bytes > physical->bytes) {
    throw Failure(Kind::invalid_argument, "the mapping is larger than its physical memory");
  }
  Range range;
  range.base = base;
  range.bytes = bytes;
  range.device = physical->device;
  range.place = physical->device >= 0 ? Place::device : Place::pinned;
  range.origin = "mapping";
  enter_range(range);
  map_alias(base, bytes, physical->file, offset);
  if (physical->device < 0) map_plain(base, bytes, physical->file, offset);
  memory.mapped[base] = {bytes, physical};
}

void unmap_physical(void* address) {
  VirtualMemory& memory = all();
  std::lock_guard<std::mutex> lock(memory.mutex);
  auto found = memory.mapped.find(static_cast<char*>(address));
  if (found == memory.mapped.end()) {
    throw Failure(Kind::invalid_argument, "nothing was mapped at this address");
  }
  leave_range(address);
  unmap(found->first, found->second.bytes);
  memory.mapped.erase(found);
}

std::uint64_t export_physical(Physical* handle, bool open_to_all) {
  VirtualMemory& memory = all();
  std::lock_guard<std::mutex> lock(memory.mutex);
  std::shared_ptr<Physical> physical = alive(memory, handle);
  if (physical->slot < 0) {
    const int slot = take_memory_slot();
    SharedMemory& shared = own_page().memories[slot];
    shared.nonce = 0;
    shared.file = physical->file;
    shared.device = physical->device < 0 ? -1 : device_at(physical->device).physical();
    shared.offset = 0;
    shared.bytes = physical->bytes;
    shared.open_to_all = 0;
    shared.allowed_count.store(0);
    physical->slot = slot;
  }
  if (open_to_all) own_page().memories[physical->slot].open_to_all = 1;
  return static_cast<std::uint64_t>(getpid()) << (kSlotBits + kFileBits) |
         static_cast<std::uint64_t>(own_page_file()) << kSlotBits |
         static_cast<std::uint64_t>(physical->slot);
}

void allow_physical_import(std::uint64_t handle, int pid) {
  const Handle where = parsed(handle);
  if (where.pid != getpid()) {
    throw Failure(Kind::ipc, "only the exporting process says who may import");
  }
  allow(own_page().memories[where.slot], pid);
}

Physical* import_physical(std::uint64_t handle, Device& device) {
  const Handle where = parsed(handle);
  SharedMemory& shared = page_of(where.pid, where.file).memories[where.slot];
  if (shared.live.load() == 0) throw Failure(Kind::ipc, "the exported memory is gone");
  if (!allowed(shared, getpid())) {
    throw Failure(Kind::ipc, "process " + std::to_string(where.pid) +
                                 " did not allow this process to import its memory");
  }
  auto fresh = std::make_shared<Physical>();
  fresh->bytes = shared.bytes;
  fresh->device = shared.device < 0 ? -1 : device.index();
  fresh->file = open_file_of(where.pid, shared.file);
  VirtualMemory& memory = all();
  std::lock_guard<std::mutex> lock(memory.mutex);
  memory.physical[fresh.get()] = fresh;
  return fresh.get();
}

}  // namespace accel_sim
