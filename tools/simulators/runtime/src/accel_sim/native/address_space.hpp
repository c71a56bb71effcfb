// The addresses that device memory may have: one reservation, readable nowhere, and its twin.
//
// The first half is handed out and stays PROT_NONE. The second half lies `delta` above it and is
// mapped onto the bytes. Every device owns a fixed part; the rest, the window, is given out for
// imported memory, reserved virtual memory and device views of host memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accel_sim {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kGrain = 512;             // of device allocations, as the hardware's
constexpr std::size_t kLargePage = 2ull << 20;  // of reserved and physical memory

inline std::size_t round_up(std::size_t value, std::size_t grain) {
  return (value + grain - 1) / grain * grain;
}

struct AddressSpace {
  char* guard = nullptr;
  std::size_t span = 0;     // of the guarded half
  std::size_t region = 0;   // of one device
  std::ptrdiff_t delta = 0;

  bool holds(const void* pointer) const {
    return static_cast<std::size_t>(static_cast<const char*>(pointer) - guard) < span;
  }
  char* region_of(int device) const { return guard + region * static_cast<std::size_t>(device); }
  char* alias(const void* pointer) const {
    return const_cast<char*>(static_cast<const char*>(pointer)) + delta;
  }
};

const AddressSpace& address_space();

char* take_window(std::size_t bytes);  // a multiple of kLargePage; throws out_of_memory
void give_window(char* address, std::size_t bytes);

int anonymous_file(const char* name, std::size_t bytes);  // a memfd; throws internal
// The alias of [address, +bytes) becomes the file's bytes from offset.
void map_alias(char* address, std::size_t bytes, int file, std::size_t offset);
// The same bytes at the guarded address too, for memory that the host may touch.
void map_plain(char* address, std::size_t bytes, int file, std::size_t offset);
void unmap(char* address, std::size_t bytes);  // both halves are unreadable again

}  // namespace accel_sim
