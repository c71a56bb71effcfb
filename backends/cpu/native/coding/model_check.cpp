#include "model_check.hpp"

#include <algorithm>
#include <atomic>
#include <string>

#include "lanes.hpp"
#include "runtime/fault.hpp"
#include "runtime/parallel.hpp"

namespace accel_cpu::coding {
namespace {

constexpr std::size_t kGrain = std::size_t{64} << 10;  // bytes of a range worth a thread

std::string place(std::size_t layer, std::size_t token, std::size_t channel) {
  return "[" + std::to_string(layer) + ", " + std::to_string(token) + ", " +
         std::to_string(channel) + "]";
}

// Calls found(layer, token, channel) on the first symbol that is wrong, in order of layers and
// tokens.
template <class Wrong, class Found>
void find_first(const Symbols& s, Wrong wrong, Found found) {
  for (std::size_t l = 0; l < s.layers; ++l) {
    for (std::size_t t = 0; t < s.tokens; ++t) {
      const std::uint8_t* row = s.data + static_cast<std::ptrdiff_t>(l) * s.layer_stride +
                                static_cast<std::ptrdiff_t>(t) * s.token_stride;
      for (std::size_t c = 0; c < s.channels; ++c) {
        if (wrong(l, c, row[c])) return found(l, t, c, row[c]);
      }
    }
  }
}

}  // namespace

ModelFacts check_model(const Model& model, std::size_t layers, std::size_t channels) {
  const std::size_t entries = model.bins + 1, rows = layers * channels;
  std::atomic<std::uint32_t> sum{0};
  std::atomic<std::size_t> first_wrong{rows};
  std::atomic<bool> gaps{false};
  parallel_for(rows, kGrain / (entries * 2) + 1, [&](std::size_t begin, std::size_t end) {
    sum.fetch_add(kernels().check16(
        reinterpret_cast<const std::uint8_t*>(model.data + begin * entries),
        (end - begin) * entries, static_cast<std::uint32_t>(begin * entries),
        ACCEL_CODEC_SEED_MODEL));
    unsigned any_gap = 0;
    for (std::size_t r = begin; r < end; ++r) {
      const std::uint16_t* row = model.data + r * entries;
      unsigned falls = 0, gap = 0;
      for (std::size_t i = 0; i + 1 < entries; ++i) {
        falls |= row[i] > row[i + 1];
        gap |= row[i] == row[i + 1];
      }
      any_gap |= gap;
      if ((falls | unsigned(row[0] != 0) | unsigned(row[model.bins] != ACCEL_CODEC_SCALE)) != 0) {
        std::size_t known = first_wrong.load();
        while (r < known && !first_wrong.compare_exchange_weak(known, r)) {
        }
        break;
      }
    }
    if (any_gap != 0) gaps.store(true, std::memory_order_relaxed);
  });
  if (const std::size_t r = first_wrong.load(); r < rows) {
    throw ArgumentFault(
        ArgumentFault::Kind::Codec, "model",
        "cumulative frequencies that rise from 0 to " + std::to_string(ACCEL_CODEC_SCALE),
        "others in layer " + std::to_string(r / channels) + ", channel " +
            std::to_string(r % channels),
        "make it with entropy_model");
  }
  return {sum.load(), gaps.load()};
}

void refuse_outside(const Symbols& symbols, std::uint32_t bins) {
  find_first(
      symbols, [&](std::size_t, std::size_t, std::uint8_t v) { return v >= bins; },
      [&](std::size_t l, std::size_t t, std::size_t c, std::uint8_t v) {
        throw ArgumentFault(ArgumentFault::Kind::Argument, "symbols",
                            "symbols below " + std::to_string(bins),
                            std::to_string(v) + " at " + place(l, t, c));
      });
  throw Fault(Fault::Kind::State, "symbols changed while they were being read");
}

void check_symbols(const Symbols& s, const Model& model, const ModelFacts& facts) {
  if (model.bins < kMostBins) {
    std::atomic<bool> outside{false};
    const std::size_t rows = s.layers * s.tokens;
    parallel_for(rows, kGrain / (s.channels + 1) + 1, [&](std::size_t begin, std::size_t end) {
      while (begin < end) {
        const std::size_t layer = begin / s.tokens, token = begin % s.tokens;
        const std::size_t count = std::min(end - begin, s.tokens - token);
        const std::uint8_t* from = s.data + static_cast<std::ptrdiff_t>(layer) * s.layer_stride +
                                   static_cast<std::ptrdiff_t>(token) * s.token_stride;
        if (kernels().largest(from, s.token_stride, count, s.channels) >= model.bins) {
          outside.store(true, std::memory_order_relaxed);
        }
        begin += count;
      }
    });
    if (outside.load()) refuse_outside(s, model.bins);
  }
  if (!facts.has_gaps) return;
  const std::size_t entries = model.bins + 1;
  const auto in_gap = [&](std::size_t l, std::size_t c, std::uint8_t v) {
    const std::uint16_t* row = model.data + (l * s.channels + c) * entries;
    return row[v] == row[v + 1];
  };
  std::atomic<bool> missing{false};
  parallel_for(s.layers * s.tokens, kGrain / (s.channels + 1) + 1,
               [&](std::size_t begin, std::size_t end) {
                 for (std::size_t i = begin; i < end; ++i) {
                   const std::size_t l = i / s.tokens, t = i % s.tokens;
                   const std::uint8_t* row =
                       s.data + static_cast<std::ptrdiff_t>(l) * s.layer_stride +
                       static_cast<std::ptrdiff_t>(t) * s.token_stride;
                   bool any = false;
                   for (std::size_t c = 0; c < s.channels; ++c) any |= in_gap(l, c, row[c]);
                   if (any) missing.store(true, std::memory_order_relaxed);
                 }
               });
  if (!missing.load()) return;
  find_first(s, in_gap, [&](std::size_t l, std::size_t t, std::size_t c, std::uint8_t v) {
    throw ArgumentFault(ArgumentFault::Kind::Argument, "symbols",
                        "symbols with a frequency in their channel's model",
                        std::to_string(v) + " at " + place(l, t, c),
                        "make the model without exact=True, or from these symbols too");
  });
  throw Fault(Fault::Kind::State, "symbols changed while they were being read");
}

}  // namespace accel_cpu::coding
