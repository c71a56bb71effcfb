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

// Symbols are counted in blocks of so many channels and up to so many tokens.
constexpr std::size_t kCountTile = 64;
constexpr std::size_t kCountTokens = 128;

// Counts of kCountTile channels, [bin][channel]: a row for each bin, and at least one for symbols
// outside the bins.
constexpr std::size_t count_rows(std::uint32_t bins) { return (bins / 8 + 1) * 8; }

// From one tile of a staged block to the next; the same lines of all tiles fall into different sets
// of a cache.
constexpr std::size_t kTileBytes = kCountTokens * kCountTile + 256;

// Brings a block of symbols of several tiles near, tile by tile: [kCountTokens][kCountTile] each.
// Reading a tile alone takes a line of every row, which is slow from memory; here rows are read one
// after the other, a few lines at a time while the block before is being counted.
struct Staging {
  const std::uint8_t* row = nullptr;  // the next
  std::ptrdiff_t stride = 0;
  std::size_t rows = 0;      // still to come
  std::size_t channels = 0;  // of a row
  std::size_t channel = 0;   // the next
  std::uint8_t* to = nullptr;
};

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

  // Adds a block's symbols [tokens][kCountTile] to counts[bin * kCountTile + channel]; there are
  // count_rows(bins). Symbols outside the bins are counted for none. Meanwhile some of `next`, or
  // nothing, is staged.
  void (*count)(const std::uint8_t* symbols, std::size_t tokens, std::uint32_t bins,
                std::uint16_t* counts, Staging* next);

  // Stages what is left of it.
  void (*stage)(Staging* next);

  // Cumulative frequencies of up to kCountTile channels from their counts, `bins + 1` a channel;
  // `tokens` is not 0. False when some symbol is in no count.
  bool (*make_rows)(const std::uint16_t* counts, std::size_t tokens, std::size_t channels,
                    std::uint32_t bins, bool exact, std::uint16_t* rows);
  bool (*make_rows_wide)(const std::uint32_t* counts, std::size_t tokens, std::size_t channels,
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
