// Memory: the device's is the host's, but for who may touch it, which the copies check.

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "fake.hpp"

using namespace fake;

namespace {

enum Kind { kPageable = 0, kHost = 1, kDevice = 2 };

struct Range {
  std::size_t nbytes = 0;
  Kind kind = kPageable;
  int device = 0;
  bool registered = false;
};

std::mutex mutex;
std::map<std::uintptr_t, Range>& ranges() {
  static auto* only = new std::map<std::uintptr_t, Range>;
  return *only;
}

// The range that all of [address, address + nbytes) lies in.
bool find(std::uintptr_t address, std::size_t nbytes, std::uintptr_t& start, Range& range) {
  std::lock_guard<std::mutex> lock(mutex);
  auto after = ranges().upper_bound(address);
  if (after == ranges().begin()) return false;
  --after;
  start = after->first;
  range = after->second;
  return address - start + nbytes <= range.nbytes;
}

void add(void* memory, std::size_t nbytes, Kind kind, bool registered) {
  std::lock_guard<std::mutex> lock(mutex);
  Context* const context = current_context();
  ranges()[reinterpret_cast<std::uintptr_t>(memory)] = {
      nbytes, kind, context == nullptr ? 0 : context->device, registered};
}

bool is_on_device(std::uint64_t address, std::size_t nbytes) {
  std::uintptr_t start = 0;
  Range range;
  return find(address, nbytes, start, range) && range.kind == kDevice;
}

bool is_known(std::uint64_t address, std::size_t nbytes) {
  std::uintptr_t start = 0;
  Range range;
  return find(address, nbytes, start, range);
}

bool is_pageable(std::uint64_t address) {
  std::uintptr_t start = 0;
  Range range;
  return !find(address, 1, start, range);
}

int copy(std::uint64_t dst, std::uint64_t src, std::size_t nbytes, void* handle) {
  Stream* const stream = stream_of(handle);
  if (stream == nullptr) return kInvalidHandle;
  const auto move = [=] {
    std::memmove(reinterpret_cast<void*>(dst), reinterpret_cast<const void*>(src), nbytes);
  };
  if (nbytes == 0) return 0;
  if (!is_pageable(dst) && !is_pageable(src)) return give(stream, move);
  if (stream->capture != nullptr) {
    stream->capture->valid = false;
    return kCaptureUnsupported;
  }
  // As the driver: pageable memory is staged, and the call waits.
  queue(stream, move);
  for (;;) {
    {
      std::lock_guard<std::mutex> lock(stream->mutex);
      if (stream->queue.empty() && !stream->busy) return 0;
    }
    std::this_thread::yield();
  }
}

}  // namespace

FAKE_ENTRY int cuMemHostAlloc(void** memory, std::size_t nbytes, unsigned) {
  FAKE_INJECT("cuMemHostAlloc");
  *memory = mmap(nullptr, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (*memory == MAP_FAILED) return kOutOfMemory;
  add(*memory, nbytes, kHost, false);
  return 0;
}

FAKE_ENTRY int cuMemFreeHost(void* memory) {
  std::uintptr_t start = 0;
  Range range;
  if (!find(reinterpret_cast<std::uintptr_t>(memory), 0, start, range) ||
      start != reinterpret_cast<std::uintptr_t>(memory) || range.kind != kHost ||
      range.registered) {
    return kInvalidValue;
  }
  {
    std::lock_guard<std::mutex> lock(mutex);
    ranges().erase(start);
  }
  munmap(memory, range.nbytes);
  return 0;
}

FAKE_ENTRY int cuMemHostRegister_v2(void* memory, std::size_t nbytes, unsigned) {
  FAKE_INJECT("cuMemHostRegister_v2");
  if (nbytes == 0) return kInvalidValue;
  if (!is_pageable(reinterpret_cast<std::uintptr_t>(memory))) return 712;
  add(memory, nbytes, kHost, true);
  return 0;
}

FAKE_ENTRY int cuMemHostUnregister(void* memory) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = ranges().find(reinterpret_cast<std::uintptr_t>(memory));
  if (found == ranges().end() || !found->second.registered) return 713;
  ranges().erase(found);
  return 0;
}

FAKE_ENTRY int cuMemHostGetDevicePointer_v2(std::uint64_t* address, void* memory, unsigned) {
  *address = reinterpret_cast<std::uint64_t>(memory);
  return is_pageable(*address) ? kInvalidValue : 0;
}

FAKE_ENTRY int cuMemGetInfo_v2(std::size_t* free_bytes, std::size_t* total) {
  *free_bytes = std::size_t{3} << 30;
  *total = std::size_t{4} << 30;
  return 0;
}

FAKE_ENTRY int cuMemAlloc_v2(std::uint64_t* address, std::size_t nbytes) {
  FAKE_INJECT("cuMemAlloc_v2");
  void* memory = std::malloc(nbytes);
  if (memory == nullptr) return kOutOfMemory;
  add(memory, nbytes, kDevice, false);
  *address = reinterpret_cast<std::uint64_t>(memory);
  return 0;
}

FAKE_ENTRY int cuMemFree_v2(std::uint64_t address) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = ranges().find(address);
  if (found == ranges().end() || found->second.kind != kDevice) return kInvalidValue;
  ranges().erase(found);
  std::free(reinterpret_cast<void*>(address));
  return 0;
}

FAKE_ENTRY int cuMemsetD8Async(std::uint64_t dst, unsigned char value, std::size_t nbytes,
                               void* stream) {
  FAKE_INJECT("cuMemsetD8Async");
  if (is_pageable(dst)) return kInvalidValue;
  return give(stream_of(stream),
              [=] { std::memset(reinterpret_cast<void*>(dst), value, nbytes); });
}

FAKE_ENTRY int cuMemcpyHtoDAsync_v2(std::uint64_t dst, const void* src, std::size_t nbytes,
                                    void* stream) {
  FAKE_INJECT("cuMemcpyHtoDAsync_v2");
  if (!is_on_device(dst, nbytes)) return kInvalidValue;
  return copy(dst, reinterpret_cast<std::uint64_t>(src), nbytes, stream);
}

FAKE_ENTRY int cuMemcpyDtoHAsync_v2(void* dst, std::uint64_t src, std::size_t nbytes,
                                    void* stream) {
  FAKE_INJECT("cuMemcpyDtoHAsync_v2");
  if (!is_on_device(src, nbytes)) return kInvalidValue;
  return copy(reinterpret_cast<std::uint64_t>(dst), src, nbytes, stream);
}

FAKE_ENTRY int cuMemcpyDtoDAsync_v2(std::uint64_t dst, std::uint64_t src, std::size_t nbytes,
                                    void* stream) {
  FAKE_INJECT("cuMemcpyDtoDAsync_v2");
  if (!is_on_device(dst, nbytes) || !is_on_device(src, nbytes)) return kInvalidValue;
  return copy(dst, src, nbytes, stream);
}

FAKE_ENTRY int cuMemcpyAsync(std::uint64_t dst, std::uint64_t src, std::size_t nbytes,
                             void* stream) {
  FAKE_INJECT("cuMemcpyAsync");
  return copy(dst, src, nbytes, stream);
}

FAKE_ENTRY int cuMemcpyPeerAsync(std::uint64_t dst, Context*, std::uint64_t src, Context*,
                                 std::size_t nbytes, void* stream) {
  FAKE_INJECT("cuMemcpyPeerAsync");
  if (!is_on_device(dst, nbytes) || !is_on_device(src, nbytes)) return kInvalidValue;
  return copy(dst, src, nbytes, stream);
}

FAKE_ENTRY int cuMemcpyBatchAsync(std::uint64_t* dsts, std::uint64_t* srcs, std::size_t* sizes,
                                  std::size_t count, void* attributes, std::size_t* indices,
                                  std::size_t attribute_count, std::size_t* failed, void* stream) {
  FAKE_INJECT("cuMemcpyBatchAsync");
  // The rules of the real one: no default stream, attributes for every entry from the first on.
  if (stream == nullptr || count == 0 || attributes == nullptr || attribute_count == 0 ||
      indices[0] != 0) {
    return kInvalidValue;
  }
  for (std::size_t i = 0; i < count; ++i) {
    // Each side within one allocation.
    if (sizes[i] == 0 || !is_known(dsts[i], sizes[i]) || !is_known(srcs[i], sizes[i])) {
      if (failed != nullptr) *failed = i;
      return kInvalidValue;
    }
  }
  for (std::size_t i = count; i-- > 0;) {  // no order among them
    if (const int code = copy(dsts[i], srcs[i], sizes[i], stream)) return code;
  }
  return 0;
}

struct Memcpy2D {
  std::size_t src_x, src_y;
  unsigned src_type;
  const void* src_host;
  std::uint64_t src_device;
  void* src_array;
  std::size_t src_pitch;
  std::size_t dst_x, dst_y;
  unsigned dst_type;
  void* dst_host;
  std::uint64_t dst_device;
  void* dst_array;
  std::size_t dst_pitch;
  std::size_t width, height;
};

FAKE_ENTRY int cuMemcpy2DAsync_v2(const Memcpy2D* given, void* stream) {
  FAKE_INJECT("cuMemcpy2DAsync_v2");
  const Memcpy2D p = *given;
  if (p.width == 0 || p.height == 0) return 0;
  if (p.width > p.src_pitch || p.width > p.dst_pitch) return kInvalidValue;
  constexpr unsigned kHostType = 1;
  const auto src =
      p.src_type == kHostType ? reinterpret_cast<std::uint64_t>(p.src_host) : p.src_device;
  const auto dst =
      p.dst_type == kHostType ? reinterpret_cast<std::uint64_t>(p.dst_host) : p.dst_device;
  for (std::size_t row = 0; row < p.height; ++row) {
    const int code = copy(dst + p.dst_x + (p.dst_y + row) * p.dst_pitch,
                          src + p.src_x + (p.src_y + row) * p.src_pitch, p.width, stream);
    if (code != 0) return code;
  }
  return 0;
}

FAKE_ENTRY int cuPointerGetAttribute(void* value, int attribute, std::uint64_t address) {
  FAKE_INJECT("cuPointerGetAttribute");
  std::uintptr_t start = 0;
  Range range;
  if (!find(address, 1, start, range)) return kInvalidValue;
  switch (attribute) {
    case 2: *static_cast<unsigned*>(value) = range.kind == kDevice ? 2u : 1u; return 0;
    case 3: *static_cast<std::uint64_t*>(value) = address; return 0;
    case 4:
      if (range.kind == kDevice) return kInvalidValue;
      *static_cast<void**>(value) = reinterpret_cast<void*>(address);
      return 0;
    case 8: *static_cast<unsigned*>(value) = 0; return 0;
    case 9: *static_cast<int*>(value) = range.device; return 0;
    case 11: *static_cast<std::uint64_t*>(value) = start; return 0;
    case 12: *static_cast<std::size_t*>(value) = range.nbytes; return 0;
    default: return kInvalidValue;
  }
}

// Attributes of an address that the driver does not know are zero, which is no error.
FAKE_ENTRY int cuPointerGetAttributes(unsigned count, const int* attributes, void** values,
                                      std::uint64_t address) {
  for (unsigned i = 0; i < count; ++i) {
    if (cuPointerGetAttribute(values[i], attributes[i], address) != 0) {
      const bool is_wide = attributes[i] == 3 || attributes[i] == 4 || attributes[i] > 10;
      std::memset(values[i], 0, is_wide ? 8 : 4);
    }
  }
  return 0;
}
