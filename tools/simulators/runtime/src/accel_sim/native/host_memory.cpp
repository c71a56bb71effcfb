// Page-locked host memory: our own, and ranges of the program that it registers.
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "accel_sim/failure.hpp"
#include "accel_sim/memory.hpp"
#include "address_space.hpp"
#include "ledger.hpp"

namespace accel_sim {
namespace {

// The whole range must be memory that the process has: registering anything else fails in the
// driver.
void require_mapped(void* pointer, std::size_t bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(pointer) / kPage * kPage;
  const auto end = reinterpret_cast<std::uintptr_t>(pointer) + bytes;
  const std::size_t length = round_up(end - first, kPage);
  constexpr std::size_t kStep = 1ull << 30;
  std::vector<unsigned char> pages(std::min(length, kStep) / kPage);
  for (std::size_t done = 0; done < length; done += kStep) {
    const std::size_t step = std::min(kStep, length - done);
    if (mincore(reinterpret_cast<void*>(first + done), step, pages.data()) != 0) {
      throw Failure(Kind::host_registration,
                    describe(pointer, bytes) + " are not all memory of this process");
    }
  }
}

}  // namespace

void* allocate_pinned(std::size_t bytes) {
  if (bytes == 0) throw Failure(Kind::invalid_argument, "0 bytes of pinned memory were asked for");
  // A page that cannot be touched follows, so that writing over the end faults.
  const std::size_t room = round_up(bytes, kPage);
  void* base = mmap(nullptr, room + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED || mprotect(base, room, PROT_READ | PROT_WRITE) != 0) {
    if (base != MAP_FAILED) munmap(base, room + kPage);
    throw Failure(Kind::out_of_memory, "the host has no " + std::to_string(bytes) +
                                           " bytes for pinned memory: " + std::strerror(errno));
  }
  Range range;
  range.base = static_cast<char*>(base);
  range.bytes = bytes;
  range.place = Place::pinned;
  range.origin = "pinned";
  enter_range(range);
  return base;
}

void free_pinned(void* pointer) {
  const std::optional<Range> known = range_at(pointer);
  if (!known || known->base != pointer || known->origin != "pinned") {
    throw Failure(Kind::invalid_argument,
                  describe(pointer, 0) + ": not the beginning of live pinned memory");
  }
  leave_range(pointer);
  munmap(pointer, round_up(known->bytes, kPage) + kPage);
}

void register_host(void* pointer, std::size_t bytes, bool mapped) {
  if (!pointer || bytes == 0 || bytes > SIZE_MAX - reinterpret_cast<std::uintptr_t>(pointer)) {
    throw Failure(Kind::invalid_argument,
                  describe(pointer, bytes) + ": a range to register has an address and a size > 0");
  }
  if (is_device_address(pointer)) {
    throw Failure(Kind::invalid_argument, describe(pointer, bytes) + " are device memory");
  }
  require_mapped(pointer, bytes);
  Range range;
  range.base = static_cast<char*>(pointer);
  range.bytes = bytes;
  range.place = Place::registered;
  range.origin = "registered";
  enter_range(range);
  if (!mapped) return;
  // The view keeps the offset in the page, as a mapping of pages does.
  const std::size_t shift = reinterpret_cast<std::uintptr_t>(pointer) % kPage;
  const std::size_t room = round_up(bytes + shift, kLargePage);
  leave_range(pointer);
  char* const window = take_window(room);
  range.view = window + shift;
  enter_range(range);
  Range view = range;
  view.base = range.view;
  view.place = Place::registered;
  view.host = range.base;
  view.view = nullptr;
  view.origin = "view";
  enter_range(view);
}

void unregister_host(void* pointer) {
  const std::optional<Range> known = range_at(pointer);
  if (!known || known->base != pointer || known->origin != "registered") {
    throw Failure(Kind::host_registration,
                  describe(pointer, 0) + ": not the beginning of a registered range");
  }
  leave_range(pointer);
  if (!known->view) return;
  leave_range(known->view);
  const std::size_t shift = reinterpret_cast<std::uintptr_t>(known->view) % kPage;
  give_window(known->view - shift, round_up(known->bytes + shift, kLargePage));
}

void* device_pointer_of_host(void* pointer) {
  const std::optional<Range> known = range_at(pointer);
  if (!known || !known->view) {
    throw Failure(Kind::host_registration,
                  describe(pointer, 0) + ": not in a range that was registered as mapped");
  }
  return known->view + (static_cast<char*>(pointer) - known->base);
}

}  // namespace accel_sim
