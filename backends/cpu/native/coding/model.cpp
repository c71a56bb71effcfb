// Models from symbols: histograms of all channels, made into cumulative frequencies.
#include <algorithm>
#include <atomic>
#include <memory>

#include "coder.hpp"
#include "lanes.hpp"
#include "model_check.hpp"
#include "runtime/parallel.hpp"

namespace accel_cpu::coding {
namespace {

// Frequencies of channels without a symbol: all alike.
void make_uniform(std::uint32_t bins, std::uint16_t* row) {
  for (std::uint32_t b = 0; b <= bins; ++b) {
    row[b] = static_cast<std::uint16_t>(ACCEL_CODEC_SCALE * b / bins);
  }
}

}  // namespace

void make_model(const Symbols& s, std::uint32_t bins, bool exact, std::uint16_t* model) {
  const std::size_t entries = bins + 1;
  if (s.tokens == 0) {
    for (std::size_t i = 0; i < s.layers * s.channels; ++i) make_uniform(bins, model + i * entries);
    return;
  }
  const std::size_t tiles = (s.channels + kCountTile - 1) / kCountTile;
  std::atomic<bool> outside{false};
  parallel_for(s.layers * tiles, 1, [&](std::size_t begin, std::size_t end) {
    const std::unique_ptr<std::uint32_t[]> counts(new std::uint32_t[bins * kCountTile]);
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t layer = i / tiles, channel = i % tiles * kCountTile;
      const std::size_t channels = std::min(kCountTile, s.channels - channel);
      const std::uint8_t* from =
          s.data + static_cast<std::ptrdiff_t>(layer) * s.layer_stride + channel;
      kernels().count(from, s.token_stride, s.tokens, channels, bins, counts.get());
      if (!kernels().make_rows(counts.get(), s.tokens, channels, bins, exact,
                     model + (layer * s.channels + channel) * entries)) {
        outside.store(true, std::memory_order_relaxed);
      }
    }
  });
  if (outside.load()) refuse_outside(s, bins);
}

}  // namespace accel_cpu::coding
