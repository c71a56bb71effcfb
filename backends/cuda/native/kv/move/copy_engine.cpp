#include "copy_engine.hpp"

#include <algorithm>

namespace accel_cuda::kv {
namespace {

// Copies of one driver call. None of them starts before all were taken in, at up to a microsecond
// each, so the first call has few, and the next is ready before the one before is through.
constexpr std::size_t kFirstAtOnce = 32, kMostAtOnce = 2048;

}  // namespace

void EngineCopies::reserve(std::size_t count) {
  dst_.reserve(count);
  src_.reserve(count);
  bytes_.reserve(count);
}

void EngineCopies::clear() {
  dst_.clear();
  src_.clear();
  bytes_.clear();
}

bool EngineCopies::batches() { return driver().memcpy_batch_async != nullptr; }

void EngineCopies::send(StreamHandle stream, bool to_host) {
  if (dst_.size() > 1 && batches()) {
    std::size_t count = 0;
    for (std::size_t at = 0; at < dst_.size(); at += count) {
      count = std::min({std::max(kFirstAtOnce, 2 * count), kMostAtOnce, dst_.size() - at});
      MemcpyAttributes attributes = {};
      attributes.source_access_order = 1;
      std::size_t first = 0, failed = 0;
      ACCEL_CUDA_CALL(memcpy_batch_async, dst_.data() + at, src_.data() + at, bytes_.data() + at,
                      count, &attributes, &first, 1, &failed, stream);
    }
    return;
  }
  for (std::size_t i = 0; i < dst_.size(); ++i) {
    if (to_host) {
      ACCEL_CUDA_CALL(memcpy_to_host_async, reinterpret_cast<void*>(dst_[i]), src_[i], bytes_[i],
                      stream);
    } else {
      ACCEL_CUDA_CALL(memcpy_to_device_async, dst_[i], reinterpret_cast<const void*>(src_[i]),
                      bytes_[i], stream);
    }
  }
}

}  // namespace accel_cuda::kv
