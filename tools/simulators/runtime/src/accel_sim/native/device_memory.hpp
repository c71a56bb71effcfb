// The bytes of one device: a memory file and the free parts of it.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>

#include "accel_sim/devices.hpp"
#include "accel_sim/memory.hpp"

namespace accel_sim {

class DeviceMemory {
 public:
  explicit DeviceMemory(int device);
  int file() const { return file_; }
  std::size_t take(std::size_t bytes);  // an offset in the file; throws out_of_memory
  void give(std::size_t offset, std::size_t bytes);
  void charge(std::size_t bytes);       // counts memory that lies elsewhere; throws out_of_memory
  void refund(std::size_t bytes);
  MemoryUse use() const;

 private:
  void count(std::size_t bytes);        // with the lock held

  const int device_;
  int file_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::size_t> free_;
  std::size_t next_ = 0;  // where the search begins: freed memory is reused as late as possible
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

DeviceMemory& device_memory(int device);

}  // namespace accel_sim
