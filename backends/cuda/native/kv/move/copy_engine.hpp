// Many copies between the device and the host in one driver call, where the driver has that.
#pragma once

#include <cstdint>
#include <vector>

#include "driver/error.hpp"

namespace accel_cuda::kv {

// Copies by a copy engine; addresses are the device's and mapped host memory's.
class EngineCopies {
 public:
  void reserve(std::size_t count);
  void add(DevicePointer dst, DevicePointer src, std::size_t bytes) {
    dst_.push_back(dst);
    src_.push_back(src);
    bytes_.push_back(bytes);
  }
  std::size_t size() const { return dst_.size(); }
  void clear();

  // Queues them all, in no order among each other. `to_host` or from it. The stream must not be a
  // default stream when there is more than one copy. Needs no GIL.
  void send(StreamHandle stream, bool to_host);

  // Whether the driver takes many at once.
  static bool batches();

 private:
  std::vector<DevicePointer> dst_, src_;
  std::vector<std::size_t> bytes_;
};

// The default streams (legacy and of the thread), which batches are refused on.
inline bool is_default_stream(StreamHandle stream) {
  return reinterpret_cast<std::uintptr_t>(stream) <= 2;
}

}  // namespace accel_cuda::kv
