// Work of one call on more than one device: copies between them, and the other device's part of the
// work in the order of the caller's stream. Needs the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

#include "../runtime/stream.hpp"

namespace accel_cuda {

// Between memories that one driver call reaches: of the host (page-locked or not) and of devices.
// The context must be current.
void copy_any(std::uintptr_t dst, std::uintptr_t src, std::size_t nbytes, StreamHandle stream);
void copy_to_peer(std::uintptr_t dst, int dst_device, std::uintptr_t src, int src_device,
                  std::size_t nbytes, StreamHandle stream);

// torch's allocator for memory that is used on one stream only: allocate(nbytes, device_index,
// stream) gives an address, release(address) takes it back at any time.
void use_scratch(pybind11::object allocate, pybind11::object release);

// Device memory that belongs to one stream's order: it may be given back while work on it waits.
class ScratchMemory {
 public:
  ScratchMemory(std::size_t nbytes, int device, StreamHandle stream);
  ~ScratchMemory();
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;
  std::uintptr_t address() const { return address_; }

 private:
  std::uintptr_t address_ = 0;
};

// `later` goes on when what `earlier` has now is done.
void order(Runtime& earlier_runtime, StreamHandle earlier, Runtime& later_runtime,
           StreamHandle later);

// Where a device's part of the work goes: the caller's stream, or a stream of that device between
// two waits, the second of which is `join`.
class Elsewhere {
 public:
  Elsewhere(Runtime& home, StreamHandle stream, int device);
  void join() { order(runtime_, stream_, home_, home_stream_); }
  Runtime& runtime() const { return runtime_; }
  StreamHandle stream() const { return stream_; }

 private:
  Runtime& home_;
  Runtime& runtime_;
  const StreamHandle home_stream_, stream_;
};

}  // namespace accel_cuda
