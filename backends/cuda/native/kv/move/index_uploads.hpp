// Index lists that are too long for the arguments of a launch: through pinned memory to the device.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/runtime.hpp"

namespace accel_cuda::kv {

// A piece of pinned memory and as much on the device.
struct UploadSlab {
  char* host = nullptr;
  DevicePointer device = 0;
  std::size_t bytes = 0;
  EventHandle passed = nullptr;  // recorded after the last use
  bool in_use = false;           // the event was recorded and has not been seen to pass
};

// A ring of slabs for one device. The GIL must be held, but for `send`, and the device's context
// current.
class IndexUploads {
 public:
  explicit IndexUploads(Runtime& runtime) : runtime_(runtime) {}

  // A slab of at least `bytes`, whose earlier use is over; waits (without the GIL) when all are in
  // flight. While `stream` is captured, one that only the graph uses, and that lives as long as it.
  UploadSlab* take(std::size_t bytes, StreamHandle stream);
  // Copies the first `bytes` of its host memory to its device memory, in stream order.
  static void send(const UploadSlab& slab, std::size_t bytes, StreamHandle stream);
  // To be called after the last work that reads the slab was queued.
  void give(UploadSlab* slab, StreamHandle stream);

 private:
  UploadSlab* make(std::size_t bytes);

  Runtime& runtime_;
  std::vector<std::unique_ptr<UploadSlab>> slabs_;
  std::size_t next_ = 0;
};

}  // namespace accel_cuda::kv
