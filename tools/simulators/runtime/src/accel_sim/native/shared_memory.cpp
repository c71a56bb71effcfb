#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <random>
#include <string>

#include "accel_sim/failure.hpp"
#include "accel_sim/memory.hpp"
#include "accel_sim/sharing.hpp"
#include "address_space.hpp"
#include "device_memory.hpp"
#include "ledger.hpp"
#include "shared_page.hpp"

namespace accel_sim {
namespace {

struct Key {
  int pid = 0;
  int page_file = 0;
  int slot = 0;
  unsigned long long nonce = 0;
};

std::string text_of(const Key& key) {
  char text[80];
  std::snprintf(text, sizeof text, "mem:%d:%d:%d:%llx", key.pid, key.page_file, key.slot,
                key.nonce);
  return text;
}

Key parsed(const std::string& text) {
  Key key;
  if (std::sscanf(text.c_str(), "mem:%d:%d:%d:%llx", &key.pid, &key.page_file, &key.slot,
                  &key.nonce) != 4 ||
      key.slot < 0 || key.slot >= SharedPage::kSlots) {
    throw Failure(Kind::ipc, "'" + text + "' is not a key of shared memory");
  }
  return key;
}

// The fields of a packed key, from the highest bits down; the nonce's low bits fill the rest.
constexpr int kFileBits = 16;
constexpr int kSlotBits = 12;
constexpr int kNonceBits = 14;
constexpr std::uint64_t kNonceMask = (1u << kNonceBits) - 1;
static_assert(SharedPage::kSlots <= 1 << kSlotBits, "a slot fits its bits");

SharedMemory& slot_of(const Key& key) {
  SharedMemory& memory = page_of(key.pid, key.page_file).memories[key.slot];
  if (memory.live.load() == 0 || memory.nonce != key.nonce) {
    throw Failure(Kind::ipc, "the shared memory of " + text_of(key) + " was withdrawn");
  }
  return memory;
}

struct Import {
  char* window = nullptr;
  std::size_t room = 0;
  char* pointer = nullptr;
};

std::mutex& imports_mutex() {
  static std::mutex* const mutex = new std::mutex;
  return *mutex;
}

std::map<std::string, Import>& imports() {
  static auto* const all = new std::map<std::string, Import>;
  return *all;
}

int logical_device(int physical) {
  for (int index = 0; index < device_count(); ++index) {
    if (device_at(index).physical() == physical) return index;
  }
  return current_device_index();
}

}  // namespace

std::string export_memory(const void* pointer, std::size_t bytes, bool open_to_all) {
  host_of(pointer, bytes);
  const std::optional<Range> range = range_at(pointer);
  if (bytes == 0 || !range || range->origin != "device") {
    throw Failure(Kind::ipc, describe(pointer, bytes) + " are not memory allocated on a device");
  }
  static std::atomic<unsigned long long> count{0};
  const int slot = take_memory_slot();
  SharedMemory& memory = own_page().memories[slot];
  memory.nonce = (static_cast<unsigned long long>(std::random_device()()) << 16) + ++count % 65536;
  memory.file = device_memory(range->device).file();
  memory.device = device_at(range->device).physical();
  memory.offset = static_cast<std::uint64_t>(static_cast<const char*>(pointer) -
                                             address_space().region_of(range->device));
  memory.bytes = bytes;
  memory.open_to_all = open_to_all;
  memory.allowed_count.store(0);
  return text_of({getpid(), own_page_file(), slot, memory.nonce});
}

std::uint64_t packed_key(const std::string& text) {
  const Key key = parsed(text);
  if (key.page_file >= 1 << kFileBits) throw Failure(Kind::ipc, "this process has too many files");
  std::uint64_t number = static_cast<std::uint64_t>(key.pid) << kFileBits;
  number = (number | static_cast<std::uint64_t>(key.page_file)) << kSlotBits;
  number = (number | static_cast<std::uint64_t>(key.slot)) << kNonceBits;
  return number | (key.nonce & kNonceMask);
}

std::string unpacked_key(std::uint64_t number) {
  Key key;
  const std::uint64_t nonce = number & kNonceMask;
  number >>= kNonceBits;
  key.slot = static_cast<int>(number & ((1u << kSlotBits) - 1));
  number >>= kSlotBits;
  key.page_file = static_cast<int>(number & ((1u << kFileBits) - 1));
  key.pid = static_cast<int>(number >> kFileBits);
  const SharedMemory& memory = page_of(key.pid, key.page_file).memories[key.slot];
  if (memory.live.load() == 0 || (memory.nonce & kNonceMask) != nonce) {
    throw Failure(Kind::ipc, "the handle means no memory that is shared");
  }
  key.nonce = memory.nonce;
  return text_of(key);
}

void allow_import(const std::string& text, int pid) {
  const Key key = parsed(text);
  SharedMemory& memory = slot_of(key);
  if (key.pid != getpid()) {
    throw Failure(Kind::ipc, "only the exporting process says who may import");
  }
  allow(memory, pid);
}

void* import_memory(const std::string& text) {
  const Key key = parsed(text);
  const SharedMemory& memory = slot_of(key);
  if (!allowed(memory, getpid())) {
    throw Failure(Kind::ipc, "process " + std::to_string(key.pid) + " did not allow process " +
                                 std::to_string(getpid()) + " to import " + text);
  }
  std::lock_guard<std::mutex> lock(imports_mutex());
  Import& import = imports()[text];
  if (import.pointer) return import.pointer;
  const std::size_t shift = memory.offset % kPage;
  const std::size_t room = round_up(memory.bytes + shift, kLargePage);
  const int file = open_file_of(key.pid, memory.file);
  char* const window = take_window(room);
  try {
    map_alias(window, round_up(memory.bytes + shift, kPage), file, memory.offset - shift);
    Range range;
    range.base = window + shift;
    range.bytes = memory.bytes;
    range.device = logical_device(memory.device);
    range.origin = "import";
    enter_range(range);
  } catch (...) {
    close(file);
    give_window(window, room);
    throw;
  }
  close(file);
  import = {window, room, window + shift};
  return import.pointer;
}

void close_memory(const std::string& text) {
  const Key key = parsed(text);
  {
    std::lock_guard<std::mutex> lock(imports_mutex());
    auto found = imports().find(text);
    if (found != imports().end() && found->second.pointer) {
      leave_range(found->second.pointer);
      unmap(found->second.window, found->second.room);
      give_window(found->second.window, found->second.room);
      imports().erase(found);
      if (key.pid != getpid()) return;
    }
  }
  if (key.pid != getpid()) throw Failure(Kind::ipc, text + " was not imported");
  slot_of(key);
  give_memory_slot(key.slot);
}

}  // namespace accel_sim
