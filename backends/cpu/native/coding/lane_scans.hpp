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
  typedef typename Lanes<std::uint8_t, kCountTile>::Part Part;
  constexpr std::size_t kStep = 4 * sizeof(Part);
  Part most[4] = {};
  std::uint8_t rest = 0;
  for (std::size_t t = 0; t < tokens; ++t, symbols += token_stride) {
    std::size_t c = 0;
    for (; c + kStep <= channels; c += kStep) {
      for (std::size_t i = 0; i < 4; ++i) {
        const Part v = load_as<Part>(symbols + c + i * sizeof(Part));
        most[i] = v > most[i] ? v : most[i];
      }
    }
    for (; c < channels; ++c) rest = std::max(rest, symbols[c]);
  }
  for (const Part& part : most) {
    for (std::size_t i = 0; i < sizeof part; ++i) rest = std::max<std::uint8_t>(rest, part[i]);
  }
  return rest;
}

// Bytes count up to 255; their sums go to the counts from time to time.
constexpr std::size_t kByteTokens = 255;

ACCEL_INLINE void add_bytes(const std::uint8_t* bytes, std::uint32_t* counts) {
  for (std::size_t c = 0; c < kCountTile; ++c) counts[c] += bytes[c];
}

// For many bins, and for what is left over at the edges.
inline void count_one_by_one(const std::uint8_t* symbols, std::ptrdiff_t token_stride,
                             std::size_t tokens, std::size_t channels, std::uint32_t bins,
                             std::uint32_t* counts) {
  std::uint8_t bytes[kMostBins * kCountTile];
  for (std::size_t done = 0; done < tokens; done += kByteTokens) {
    const std::size_t now = std::min(tokens - done, kByteTokens);
    std::memset(bytes, 0, sizeof bytes);
    for (std::size_t t = 0; t < now; ++t, symbols += token_stride) {
      for (std::size_t c = 0; c < channels; ++c) ++bytes[symbols[c] * kCountTile + c];
    }
    for (std::uint32_t b = 0; b < bins; ++b) {
      add_bytes(bytes + b * kCountTile, counts + b * kCountTile);
    }
  }
}

// All channels abreast: a comparison and an addition for every bin, `Bins` at a time in registers.
template <int Bins>
ACCEL_INLINE void count_abreast(const std::uint8_t* symbols, std::ptrdiff_t token_stride,
                                std::size_t tokens, std::uint32_t first, std::uint32_t bins,
                                std::uint32_t* counts) {
  typedef typename Lanes<std::uint8_t, kCountTile>::Part Part;
  for (std::size_t c = 0; c < kCountTile; c += sizeof(Part)) {
    Part sums[Bins] = {};
    const std::uint8_t* from = symbols + c;
    for (std::size_t t = 0; t < tokens; ++t, from += token_stride) {
      const Part v = load_as<Part>(from) - static_cast<std::uint8_t>(first);
      for (int b = 0; b < Bins; ++b) sums[b] -= (Part)(v == static_cast<std::uint8_t>(b));
    }
    for (std::uint32_t b = 0; b < Bins && first + b < bins; ++b) {
      std::uint8_t bytes[sizeof(Part)];
      std::memcpy(bytes, &sums[b], sizeof bytes);
      std::uint32_t* to = counts + (first + b) * kCountTile + c;
      for (std::size_t i = 0; i < sizeof bytes; ++i) to[i] += bytes[i];
    }
  }
}

template <int Bins>
void count_symbols(const std::uint8_t* symbols, std::ptrdiff_t token_stride, std::size_t tokens,
                   std::size_t channels, std::uint32_t bins, std::uint32_t* counts) {
  std::memset(counts, 0, bins * kCountTile * sizeof *counts);
  if (bins > 64 || channels < kCountTile) {
    count_one_by_one(symbols, token_stride, tokens, channels, bins, counts);
    return;
  }
  for (std::size_t done = 0; done < tokens; done += kByteTokens) {
    const std::uint8_t* from = symbols + static_cast<std::ptrdiff_t>(done) * token_stride;
    for (std::uint32_t first = 0; first < bins; first += Bins) {
      count_abreast<Bins>(from, token_stride, std::min(tokens - done, kByteTokens), first, bins,
                          counts);
    }
  }
}
