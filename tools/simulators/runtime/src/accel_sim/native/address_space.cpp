#include "address_space.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "accel_sim/failure.hpp"
#include "accel_sim/modes.hpp"

namespace accel_sim {
namespace {

constexpr std::size_t kWindow = 1ull << 38;
// Twice the device's memory: the limit is kept by counting, gaps between allocations cost
// addresses.
constexpr std::size_t kSlack = 2;

[[noreturn]] void fail(const std::string& what) {
  throw Failure(Kind::internal, "the simulator could not " + what + ": " + std::strerror(errno));
}

AddressSpace reserve() {
  AddressSpace space;
  space.region = round_up(modes().memory * kSlack + kLargePage, kLargePage);
  space.span = space.region * static_cast<std::size_t>(modes().devices) + kWindow;
  void* base = mmap(nullptr, 2 * space.span + kLargePage, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) fail("reserve addresses for device memory");
  const auto aligned = round_up(reinterpret_cast<std::uintptr_t>(base), kLargePage);
  space.guard = reinterpret_cast<char*>(aligned);
  space.delta = static_cast<std::ptrdiff_t>(space.span);
  return space;
}

struct Window {
  std::mutex mutex;
  std::map<char*, std::size_t> free;
};

Window& window() {
  static Window* const window = [] {
    auto* fresh = new Window;
    const AddressSpace& space = address_space();
    char* begin = space.guard + space.region * static_cast<std::size_t>(modes().devices);
    fresh->free[begin] = kWindow;
    return fresh;
  }();
  return *window;
}

void map_at(char* address, std::size_t bytes, int file, std::size_t offset) {
  void* got = mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
                   file, static_cast<off_t>(offset));
  if (got == MAP_FAILED) fail("map device memory");
}

}  // namespace

const AddressSpace& address_space() {
  static const AddressSpace* const space = new AddressSpace(reserve());
  return *space;
}

char* take_window(std::size_t bytes) {
  Window& all = window();
  std::lock_guard<std::mutex> lock(all.mutex);
  for (auto piece = all.free.begin(); piece != all.free.end(); ++piece) {
    // One large page is left between two takers, so that running over an end is never silent.
    const std::size_t needed = bytes + kLargePage;
    if (piece->second < needed) continue;
    char* const address = piece->first;
    const std::size_t left = piece->second - needed;
    all.free.erase(piece);
    if (left) all.free[address + needed] = left;
    return address;
  }
  throw Failure(Kind::out_of_memory,
                "no addresses are left for " + std::to_string(bytes) + " bytes");
}

void give_window(char* address, std::size_t bytes) {
  Window& all = window();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::size_t size = bytes + kLargePage;
  auto after = all.free.lower_bound(address);
  if (after != all.free.end() && address + size == after->first) {
    size += after->second;
    after = all.free.erase(after);
  }
  if (after != all.free.begin()) {
    auto before = std::prev(after);
    if (before->first + before->second == address) {
      before->second += size;
      return;
    }
  }
  all.free[address] = size;
}

int anonymous_file(const char* name, std::size_t bytes) {
  const int file = memfd_create(name, MFD_CLOEXEC);
  if (file < 0) fail("make a memory file");
  if (ftruncate(file, static_cast<off_t>(bytes)) != 0) {
    const int saved = errno;
    close(file);
    errno = saved;
    fail("size a memory file");
  }
  return file;
}

void map_alias(char* address, std::size_t bytes, int file, std::size_t offset) {
  map_at(address_space().alias(address), bytes, file, offset);
}

void map_plain(char* address, std::size_t bytes, int file, std::size_t offset) {
  map_at(address, bytes, file, offset);
}

void unmap(char* address, std::size_t bytes) {
  for (char* half : {address, address_space().alias(address)}) {
    void* got = mmap(half, bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (got == MAP_FAILED) fail("unmap device memory");
  }
}

}  // namespace accel_sim
