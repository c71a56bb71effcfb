// Copies and fills between any two places, with the checks that hardware makes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accel_sim/memory.hpp"
#include "accel_sim/streams.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

enum class Direction { host_to_host, host_to_device, device_to_host, device_to_device, inferred };

struct Copy {
  void* target = nullptr;
  std::size_t target_room = 0;    // bytes that may be written
  const void* source = nullptr;
  std::size_t bytes = 0;
  Direction direction = Direction::inferred;
};

struct Copy2d {
  void* target = nullptr;
  std::size_t target_pitch = 0;
  const void* source = nullptr;
  std::size_t source_pitch = 0;
  std::size_t width = 0;          // bytes of a row
  std::size_t height = 0;         // rows
  Direction direction = Direction::inferred;
};

// Checked when called (throws) and again when run (the stream's error). A copy whose host side is
// pageable returns after it has run, as hardware's does.
void copy(const char* name, const Copy& what);                   // done on return
void copy_async(const char* name, const Copy& what, Stream& stream);
void copy_2d(const char* name, const Copy2d& what);
void copy_2d_async(const char* name, const Copy2d& what, Stream& stream);
// One operation for many copies. On a refused item throws, with *failed its index; nothing is copied.
void copy_batch_async(const char* name, const Copy* items, std::size_t count, std::size_t* failed,
                      Stream& stream);
void fill(const char* name, void* target, std::size_t room, int value, std::size_t bytes);
void fill_async(const char* name, void* target, std::size_t room, int value, std::size_t bytes,
                Stream& stream);

}  // namespace accel_sim
