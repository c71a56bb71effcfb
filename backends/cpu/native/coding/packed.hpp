// The container of the entropy-coded format: header, directory, and their checks. docs/kv-codec.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <accel/kv_codec.h>

namespace accel_cpu::coding {

using Split = accel_codec_split;

struct StreamBytes {
  const std::uint8_t* data;
  std::size_t size;     // a multiple of 4
  std::uint32_t check;  // over all of them
};

// A container whose header and directory are sound. Borrows the streams' bytes; what it has checked
// it keeps, so that no later change of the memory leads out of it.
class Packed {
 public:
  // Raises ArgumentFault::Kind::Codec, naming `argument`, for anything that is no such container.
  Packed(const std::uint8_t* data, std::size_t size, const char* argument);

  Split split{};
  std::uint32_t bins = 0, model_check = 0;
  StreamBytes stream(std::size_t index) const;

 private:
  struct Entry {
    std::uint32_t start, check;  // units of 4 bytes from the payload's start
  };
  const std::uint8_t* payload_ = nullptr;
  std::vector<Entry> entries_;  // and one for the end
};

// Bytes before the streams; and of the whole container at most.
std::size_t packed_overhead(const Split& split);
std::size_t packed_bound(const Split& split);

// Fills in header and directory once all streams are in place and put() for each.
class PackedWriter {
 public:
  PackedWriter(std::uint8_t* out, const Split& split);

  std::size_t reserve(std::size_t bytes);  // returns its offset; in order of streams
  std::uint8_t* at(std::size_t offset) const { return out_ + offset; }
  void put(std::size_t index, std::size_t offset, std::uint32_t check);
  std::size_t finish(std::uint32_t bins, std::uint32_t model_check);  // bytes in all

 private:
  std::uint8_t* out_;
  Split split_;
  std::size_t at_;
};

}  // namespace accel_cpu::coding
