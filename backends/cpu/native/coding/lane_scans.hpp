// Loops over memory that need no lanes: checks, histograms, the largest symbol. Included by
// lanes_*.cpp, inside an unnamed namespace.

template <class Unit>
std::uint32_t check_units(const std::uint8_t* units, std::size_t count, std::uint32_t first,
                          std::uint32_t seed) {
  std::uint32_t sums[16] = {};
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (std::size_t j = 0; j < 16; ++j) {
      sums[j] += accel_codec_mix(load_as<Unit>(units + (i + j) * sizeof(Unit)),
                                 first + static_cast<std::uint32_t>(i + j), seed);
    }
  }
  std::uint32_t sum = 0;
  for (; i < count; ++i) {
    sum += accel_codec_mix(load_as<Unit>(units + i * sizeof(Unit)),
                           first + static_cast<std::uint32_t>(i), seed);
  }
  for (const std::uint32_t part : sums) sum += part;
  return sum;
}

inline std::uint8_t largest_symbol(const std::uint8_t* symbols, std::ptrdiff_t token_stride,
                                   std::size_t tokens, std::size_t channels) {
  std::uint8_t most = 0;
  for (std::size_t t = 0; t < tokens; ++t, symbols += token_stride) {
    std::uint8_t mosts[64] = {};
    std::size_t c = 0;
    for (; c + 64 <= channels; c += 64) {
      for (std::size_t j = 0; j < 64; ++j) mosts[j] = std::max(mosts[j], symbols[c + j]);
    }
    for (; c < channels; ++c) most = std::max(most, symbols[c]);
    for (const std::uint8_t m : mosts) most = std::max(most, m);
  }
  return most;
}

// One channel after the other: for many bins, and for what is left over at the edges.
inline void count_one_by_one(const std::uint8_t* symbols, std::ptrdiff_t token_stride,
                             std::size_t tokens, std::size_t channels, std::uint32_t bins,
                             std::uint32_t* counts) {
  if (bins == kMostBins) {
    for (std::size_t t = 0; t < tokens; ++t, symbols += token_stride) {
      for (std::size_t c = 0; c < channels; ++c) ++counts[c * kMostBins + symbols[c]];
    }
    return;
  }
  for (std::size_t t = 0; t < tokens; ++t, symbols += token_stride) {
    for (std::size_t c = 0; c < channels; ++c) {
      if (symbols[c] < bins) ++counts[c * bins + symbols[c]];
    }
  }
}

typedef std::uint8_t U8x64 __attribute__((vector_size(64)));

// Up to 64 channels abreast: a comparison and an addition for every bin. `bins` at a time stay in
// registers, counting in bytes for as long as those last.
template <int Bins>
ACCEL_INLINE void count_abreast(const std::uint8_t* symbols, std::ptrdiff_t token_stride,
                                std::size_t tokens, std::uint8_t first, std::uint32_t bins,
                                std::uint32_t* counts) {
  for (std::size_t begin = 0; begin < tokens; begin += 255) {
    const std::size_t end = std::min(tokens, begin + 255);
    U8x64 sums[Bins] = {};
    for (std::size_t t = begin; t < end; ++t) {
      const std::uint8_t* row = symbols + static_cast<std::ptrdiff_t>(t) * token_stride;
      const U8x64 v = load_as<U8x64>(row) - first;
      for (int b = 0; b < Bins; ++b) sums[b] -= (U8x64)(v == static_cast<std::uint8_t>(b));
    }
    const int used = std::min<int>(Bins, static_cast<int>(bins) - first);
    for (int b = 0; b < used; ++b) {
      std::uint8_t bytes[kCountTile];
      std::memcpy(bytes, &sums[b], sizeof bytes);
      for (std::size_t c = 0; c < kCountTile; ++c) counts[c * bins + first + b] += bytes[c];
    }
  }
}

template <int Bins>
void count_symbols(const std::uint8_t* symbols, std::ptrdiff_t token_stride, std::size_t tokens,
                   std::size_t channels, std::uint32_t bins, std::uint32_t* counts) {
  if (bins > 64 || channels < kCountTile) {
    count_one_by_one(symbols, token_stride, tokens, channels, bins, counts);
    return;
  }
  for (std::uint32_t first = 0; first < bins; first += Bins) {
    count_abreast<Bins>(symbols, token_stride, tokens, static_cast<std::uint8_t>(first), bins,
                        counts);
  }
}
