// The inner loops of the entropy coder, once for each instruction set. All give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accel_cpu::coding {

constexpr int kLanes = 32;
constexpr int kMostBins = 256;

// The symbols of one stream, and the models of their channels: `bins + 1` cumulative frequencies a
// channel. Pointers are to the stream's first token and channel.
struct StreamSymbols {
  std::uint8_t* symbols;  // only read by encoders
  std::ptrdiff_t token_stride;
  const std::uint16_t* model;
  std::uint32_t bins;
  std::size_t tokens, rows;
  std::size_t channels;  // from the first to the last of the layer: the last row may be partial
};

// Channels that are counted together.
constexpr std::size_t kCountTile = 64;

struct LaneKernels {
  const char* name;

  // Encodes backwards, from `end` down, and returns where the words begin. Symbols outside the bins
  // are taken for the last bin. There is room for a word per symbol and kSlack words more.
  std::uint16_t* (*encode)(const StreamSymbols& stream, std::uint16_t* end, std::uint32_t* states);

  // Decodes from states[kLanes] and `words` 16-bit words at `data`. False when these end too early;
  // nothing is read outside them whatever they are. Sets `left` to the words not used, and leaves
  // the lanes' last states.
  bool (*decode)(const StreamSymbols& stream, const std::uint8_t* data, std::size_t words,
                 std::uint32_t* states, std::size_t* left);

  // The sum of accel_codec_mix over `count` little-endian 32-bit units, the first being number
  // `first`.
  std::uint32_t (*check)(const std::uint8_t* units, std::size_t count, std::uint32_t first,
                         std::uint32_t seed);

  // The same over 16-bit units.
  std::uint32_t (*check16)(const std::uint8_t* units, std::size_t count, std::uint32_t first,
                           std::uint32_t seed);

  // Counts the symbols of up to kCountTile channels: counts[bin * kCountTile + channel]. Symbols
  // outside the bins are counted nowhere.
  void (*count)(const std::uint8_t* symbols, std::ptrdiff_t token_stride, std::size_t tokens,
                std::size_t channels, std::uint32_t bins, std::uint32_t* counts);

  // Cumulative frequencies of the channels from their counts, `bins + 1` a channel; `tokens` is not 0.
  // False when some symbol was not counted.
  bool (*make_rows)(const std::uint32_t* counts, std::size_t tokens, std::size_t channels,
                    std::uint32_t bins, bool exact, std::uint16_t* rows);

  // The largest of [tokens, channels] symbols.
  std::uint8_t (*largest)(const std::uint8_t* symbols, std::ptrdiff_t token_stride,
                          std::size_t tokens, std::size_t channels);
};

constexpr std::size_t kSlack = 32;

// nullptr when this processor, or this build, does not have it.
const LaneKernels* portable_kernels();
const LaneKernels* avx2_kernels();
const LaneKernels* avx512_kernels();

// The best of this processor, or what use_kernels() chose.
const LaneKernels& kernels();

// By name ("portable", "avx2", "avx512"); false when it is not there. For tests.
bool use_kernels(const char* name);

}  // namespace accel_cpu::coding
