// Index lists that are too long for the arguments of a launch: through pinned memory to the device.
//
// They go by a stream of their own, beside what the caller's stream has yet to do: the memory that
// they come to is nobody else's, and on the caller's stream the copy would take as long as a small
// kernel (H200: 8 us, of which the wait for another stream leaves less than 1).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "runtime/runtime.hpp"

namespace accel_cuda::kv {

// A ring of pinned memory and as much memory of the device, for one device. It is allocated once:
// an allocation may wait for work of the device, which a call that queues work must not.
class IndexUploads {
 public:
  explicit IndexUploads(Runtime& runtime);
  ~IndexUploads();
  IndexUploads(const IndexUploads&) = delete;
  IndexUploads& operator=(const IndexUploads&) = delete;

  // Pinned memory, and memory of the device beside it. What was queued on `stream` until this is
  // destroyed may use both. The GIL must be held when it is made and destroyed, and the device's
  // context be current. Waits (without the GIL) when all of the ring is in flight; takes memory of
  // its own for more than half of the ring, and while `stream` is captured, for the graph to keep.
  class Slab {
   public:
    Slab(IndexUploads& uploads, std::size_t bytes, StreamHandle stream);
    ~Slab();
    Slab(const Slab&) = delete;
    Slab& operator=(const Slab&) = delete;

    char* host() const { return host_; }
    DevicePointer device() const { return device_; }
    // Copies the first `bytes` to the device, before what the stream is given later. Needs no GIL.
    void send(std::size_t bytes) const;

   private:
    struct Memory;
    void take_own(std::size_t bytes);

    IndexUploads& uploads_;
    const StreamHandle stream_;
    char* host_ = nullptr;
    DevicePointer device_ = 0;
    std::uint64_t part_ = 0;
    bool in_ring_ = false;
  };

  static constexpr std::size_t kRingBytes = std::size_t{8} << 20;

 private:
  struct Part {
    std::size_t begin, end;
    EventHandle passed;  // null until the slab was destroyed
    std::uint64_t number;
  };
  void retire_oldest();

  Runtime& runtime_;
  StreamHandle side_ = nullptr;
  EventHandle sent_ = nullptr;  // what side_ was given last
  char* host_ = nullptr;
  DevicePointer device_ = 0;
  std::size_t at_ = 0;
  std::uint64_t numbers_ = 0;
  std::deque<Part> parts_;  // in the order of their use
};

}  // namespace accel_cuda::kv
