// The Python object over a block of the pinned pool.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>

#include "../runtime/pinned_pool.hpp"

namespace accel_cpu {

// Owns one block. Exports its memory through the buffer protocol by way of a Lease each: whoever
// holds the memory (torch.frombuffer keeps the exporter alive, not the view) holds a lease, so the
// number of leases says whether anything still looks at the block.
class PinnedBuffer {
 public:
  explicit PinnedBuffer(PinnedBlock* block) : block_(block), nbytes_(block->nbytes) {}
  ~PinnedBuffer() {
    if (block_ != nullptr) PinnedPool::instance().free(block_);
  }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;

  bool freed() const { return block_ == nullptr; }
  PinnedBlock& block() const;  // FreedError once freed
  std::size_t nbytes() const { return nbytes_; }
  void free();

 private:
  friend class Lease;
  PinnedBlock* block_;
  const std::size_t nbytes_;
  int leases_ = 0;  // under the GIL
};

class Lease {
 public:
  explicit Lease(pybind11::object buffer)
      : buffer_(std::move(buffer)), native_(pybind11::cast<PinnedBuffer*>(buffer_)) {
    ++native_->leases_;
  }
  ~Lease() { --native_->leases_; }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  PinnedBuffer& buffer() const { return *native_; }

 private:
  pybind11::object buffer_;
  PinnedBuffer* native_;
};

}  // namespace accel_cpu
