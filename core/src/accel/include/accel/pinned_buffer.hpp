// The Python object over a block of a pinned pool.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <string>
#include <utility>

#include "fault.hpp"
#include "pinned_pool.hpp"

namespace accel {

// Owns one block. Exports its memory through the buffer protocol by way of a Lease each: whoever
// holds the memory (torch.frombuffer keeps the exporter alive, not the view) holds a lease, so the
// number of leases says whether anything still looks at the block.
template <class Mine>
class PinnedBuffer {
 public:
  explicit PinnedBuffer(PinnedBlock* block) : block_(block), nbytes_(block->nbytes) {}
  ~PinnedBuffer() {
    if (block_ != nullptr) give_back(block_);
  }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;

  bool freed() const { return block_ == nullptr; }
  std::size_t nbytes() const { return nbytes_; }

  PinnedBlock& block() const {
    if (block_ == nullptr) {
      throw ArgumentFault(ArgumentFault::Kind::Freed, "buffer", "a buffer that was not freed",
                          "one of " + std::to_string(nbytes_) + " bytes that was");
    }
    return *block_;
  }

  void free() {
    PinnedBlock* const held = &block();
    if (leases_ > 0) {
      throw Fault(Fault::Kind::State,
                  "the buffer cannot be freed while tensors (or memoryviews) over it "
                  "exist: drop them first, or let go of the buffer and have it freed "
                  "with the last of them");
    }
    block_ = nullptr;
    give_back(held);
  }

  // Keeps a buffer's memory handed out.
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

 private:
  // A segment is unmapped at once, and unlocking it may wait for a device.
  static void give_back(PinnedBlock* block) {
    if (block->segment == nullptr) {
      Mine::pool().free(block);
    } else {
      pybind11::gil_scoped_release unlocked;
      Mine::pool().free(block);
    }
  }

  PinnedBlock* block_;
  const std::size_t nbytes_;
  int leases_ = 0;  // under the GIL
};

}  // namespace accel
