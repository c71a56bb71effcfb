// Models from symbols: histograms of all channels, made into cumulative frequencies.
#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "coder.hpp"
#include "lanes.hpp"
#include "model_check.hpp"
#include "runtime/parallel.hpp"

namespace accel_cpu::coding {
namespace {

constexpr std::size_t kMostTiles = 16;                           // staged together
constexpr std::size_t kMostCountBytes = std::size_t{256} << 10;  // that stay near a core
constexpr std::size_t kShortTokens = 65535;                      // that 16 bits can count

// Frequencies of channels without a symbol: all alike.
void make_uniform(std::uint32_t bins, std::uint16_t* row) {
  for (std::uint32_t b = 0; b <= bins; ++b) {
    row[b] = static_cast<std::uint16_t>(ACCEL_CODEC_SCALE * b / bins);
  }
}

// Channels of a layer that are counted together.
struct Strip {
  std::size_t layer, channel, channels;
  std::size_t tiles() const { return (channels + kCountTile - 1) / kCountTile; }
};

// Counts strip after strip: while one block of a strip is counted, the next one is staged.
class Counter {
 public:
  Counter(const Symbols& symbols, std::uint32_t bins, bool exact, std::uint16_t* model,
          std::size_t tiles)
      : s_(symbols),
        bins_(bins),
        exact_(exact),
        model_(model),
        tile_counts_(count_rows(bins) * kCountTile),
        counts_(new std::uint16_t[tiles * tile_counts_]),
        staged_{std::make_unique<std::uint8_t[]>(tiles * kTileBytes),
                std::make_unique<std::uint8_t[]>(tiles * kTileBytes)} {}

  // To be called once, before run().
  void begin(const Strip& first) {
    Staging staging = block(first, 0);
    kernels().stage(&staging);
  }

  // False when a symbol is outside the bins. `next` will be run after `strip`, if there is one.
  bool run(const Strip& strip, const Strip* next) {
    const std::size_t tiles = strip.tiles();
    const bool wide = s_.tokens > kShortTokens;
    if (wide) wide_.assign(tiles * tile_counts_, 0);
    std::fill_n(counts_.get(), tiles * tile_counts_, std::uint16_t{0});
    std::size_t counted = 0;
    for (std::size_t token = 0; token < s_.tokens; token += kCountTokens) {
      const std::size_t tokens = std::min(s_.tokens - token, kCountTokens);
      const std::uint8_t* here = staged_[0].get();
      staged_[0].swap(staged_[1]);
      Staging staging;
      if (token + tokens < s_.tokens) {
        staging = block(strip, token + tokens);
      } else if (next != nullptr) {
        staging = block(*next, 0);
      }
      for (std::size_t i = 0; i < tiles; ++i) {
        kernels().count(here + i * kTileBytes, tokens, bins_, counts_.get() + i * tile_counts_,
                        &staging);
      }
      kernels().stage(&staging);
      counted += tokens;
      if (wide && (counted + kCountTokens > kShortTokens || token + tokens == s_.tokens)) {
        for (std::size_t i = 0; i < tiles * tile_counts_; ++i) wide_[i] += counts_[i];
        std::fill_n(counts_.get(), tiles * tile_counts_, std::uint16_t{0});
        counted = 0;
      }
    }
    return make_rows(strip, wide);
  }

 private:
  // Into staged_[0].
  Staging block(const Strip& strip, std::size_t token) {
    Staging staging;
    staging.row = s_.data + static_cast<std::ptrdiff_t>(strip.layer) * s_.layer_stride +
                  static_cast<std::ptrdiff_t>(token) * s_.token_stride + strip.channel;
    staging.stride = s_.token_stride;
    staging.rows = std::min(s_.tokens - token, kCountTokens);
    staging.channels = strip.channels;
    staging.to = staged_[0].get();
    return staging;
  }

  bool make_rows(const Strip& strip, bool wide) {
    bool all = true;
    for (std::size_t i = 0; i < strip.tiles(); ++i) {
      const std::size_t first = i * kCountTile;
      const std::size_t channels = std::min(kCountTile, strip.channels - first);
      std::uint16_t* const rows =
          model_ + (strip.layer * s_.channels + strip.channel + first) * (bins_ + 1);
      const std::size_t at = i * tile_counts_;
      all &= wide ? kernels().make_rows_wide(wide_.data() + at, s_.tokens, channels, bins_, exact_,
                                             rows)
                  : kernels().make_rows(counts_.get() + at, s_.tokens, channels, bins_, exact_,
                                        rows);
    }
    return all;
  }

  const Symbols& s_;
  const std::uint32_t bins_;
  const bool exact_;
  std::uint16_t* const model_;
  const std::size_t tile_counts_;
  std::unique_ptr<std::uint16_t[]> counts_;
  std::unique_ptr<std::uint8_t[]> staged_[2];  // the next block goes into the first
  std::vector<std::uint32_t> wide_;
};

}  // namespace

void make_model(const Symbols& s, std::uint32_t bins, bool exact, std::uint16_t* model) {
  if (s.layers == 0 || s.channels == 0) return;
  if (s.tokens == 0) {
    for (std::size_t i = 0; i < s.layers * s.channels; ++i) {
      make_uniform(bins, model + i * (bins + 1));
    }
    return;
  }
  // Strips are as wide as stays near a core and leaves work for every thread.
  const std::size_t tiles = (s.channels + kCountTile - 1) / kCountTile;
  const auto threads = static_cast<std::size_t>(thread_count());
  const std::size_t fair = threads == 1 ? tiles : s.layers * tiles / (threads * 4);
  const std::size_t near = kMostCountBytes / (count_rows(bins) * kCountTile * 2);
  const std::size_t together = std::max<std::size_t>(1, std::min({tiles, fair, near, kMostTiles}));
  const std::size_t strips = (tiles + together - 1) / together;
  const auto strip_at = [&](std::size_t i) {
    const std::size_t channel = i % strips * together * kCountTile;
    return Strip{i / strips, channel, std::min(together * kCountTile, s.channels - channel)};
  };
  std::atomic<bool> outside{false};
  parallel_for(s.layers * strips, 1, [&](std::size_t begin, std::size_t end) {
    Counter counter(s, bins, exact, model, together);
    counter.begin(strip_at(begin));
    for (std::size_t i = begin; i < end; ++i) {
      const Strip next = i + 1 < end ? strip_at(i + 1) : Strip{};
      if (!counter.run(strip_at(i), i + 1 < end ? &next : nullptr)) {
        outside.store(true, std::memory_order_relaxed);
      }
    }
  });
  if (outside.load()) refuse_outside(s, bins);
}

}  // namespace accel_cpu::coding
