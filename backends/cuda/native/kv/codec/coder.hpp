// entropy_model, encode and decode on a device: what is launched, how, and with which memory.
// docs/kv-codec.md is the format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>

#include "driver/launch.hpp"
#include "runtime/stream.hpp"
#include "state_slots.hpp"

namespace accel_cuda::coding {

struct Kernels {
  Function model, encode, assemble, verify, decode;
};

struct Extents {
  std::uint64_t layers, tokens, channels;
};

// Shared memory of the kernels for so many bins, in bytes; the host asks for them beforehand.
std::size_t model_shared(std::uint32_t bins);
std::size_t encode_shared(std::uint32_t bins);
std::size_t decode_shared(std::uint32_t bins, std::uint64_t tokens);

std::size_t encode_bound(const Extents& extents);

class Coder {
 public:
  Coder(const Device& device, const Kernels& kernels);

  const Device& device;

  // Queued: what they find wrong is raised by the stream's next synchronisation.
  void make_model(const coding_symbols& symbols, const Extents& extents, std::uint32_t bins,
                  bool exact, std::uint64_t model, StreamHandle stream);
  void decode(std::uint64_t data, std::uint64_t bytes, std::uint64_t model, std::uint32_t bins,
              const coding_symbols& out, const Extents& extents, StreamHandle stream);

  // Bytes of device memory that `encode` works in.
  static std::size_t scratch_bytes(const Extents& extents);

  // Waits, and raises what was found wrong; the bytes used of `out`, which has room for the bound.
  // The GIL must be held; it is let go of while waiting.
  std::size_t encode(const coding_symbols& symbols, const Extents& extents, std::uint64_t model,
                     std::uint32_t bins, std::uint64_t out, std::uint64_t scratch,
                     StreamHandle stream);

 private:
  std::uint64_t begin(Runtime& runtime, StreamHandle stream, bool capturing);
  unsigned blocks(std::uint64_t wanted, unsigned per_multiprocessor) const;
  void launch_encode(coding_encode_args args, StreamHandle stream);

  const Kernels kernels_;
  StateSlots states_;
  ResultSlots results_;
  std::mutex mutex_;  // launches of one call follow one another
};

}  // namespace accel_cuda::coding
