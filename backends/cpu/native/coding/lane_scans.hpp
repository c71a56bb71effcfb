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

// `Lines` lines of a tile's width, or up to the end of the row if it is nearer. Fetches lines
// further on.
template <std::size_t Lines>
ACCEL_INLINE void stage_lines(Staging& next) {
  constexpr std::size_t kAhead = 8192;
  if (next.rows == 0) return;
  const std::uint8_t* from = next.row + next.channel;
  std::uint8_t* to = next.to + next.channel / kCountTile * kTileBytes;
  const std::size_t left = next.channels - next.channel;
  std::size_t done = Lines * kCountTile;
  if (left >= done) {
    for (std::size_t i = 0; i < Lines; ++i) {
      const auto line = Lanes<std::uint8_t, kCountTile>::load(from + i * kCountTile);
      __builtin_prefetch(from + i * kCountTile + kAhead);
      line.store(to + i * kTileBytes);
    }
  } else {
    for (done = 0; done + kCountTile <= left; done += kCountTile, to += kTileBytes) {
      std::memcpy(to, from + done, kCountTile);
    }
    std::memcpy(to, from + done, left - done);
    done = left;
  }
  next.channel += done;
  if (next.channel == next.channels) {
    next.channel = 0;
    next.to += kCountTile;
    next.row += next.stride;
    --next.rows;
  }
}

inline void stage_rest(Staging* next) {
  while (next->rows != 0) stage_lines<8>(*next);
}

// For many bins, and for blocks with symbols outside the bins.
inline void count_one_by_one(const std::uint8_t* symbols, std::size_t tokens, std::uint32_t bins,
                             std::uint16_t* counts) {
  for (std::size_t t = 0; t < tokens; ++t, symbols += kCountTile) {
    for (std::size_t c = 0; c < kCountTile; ++c) {
      ++counts[std::min<std::uint32_t>(symbols[c], bins) * kCountTile + c];
    }
  }
}

// All channels abreast: a comparison and an addition for every bin, `Bins` at a time in registers.
template <int Bins>
ACCEL_INLINE void count_abreast(const std::uint8_t* symbols, std::size_t tokens,
                                std::uint32_t first, std::uint32_t bins, std::uint16_t* counts) {
  typedef typename Lanes<std::uint8_t, kCountTile>::Part Part;
  static_assert(kCountTokens < 256, "bytes count a block");
  for (std::size_t c = 0; c < kCountTile; c += sizeof(Part)) {
    Part sums[Bins] = {};
    const std::uint8_t* from = symbols + c;
    for (std::size_t t = 0; t < tokens; ++t, from += kCountTile) {
      const Part v = load_as<Part>(from) - static_cast<std::uint8_t>(first);
      for (int b = 0; b < Bins; ++b) sums[b] -= (Part)(v == static_cast<std::uint8_t>(b));
    }
    for (std::uint32_t b = 0; b < Bins && first + b < bins; ++b) {
      std::uint8_t bytes[sizeof(Part)];
      std::memcpy(bytes, &sums[b], sizeof bytes);
      std::uint16_t* to = counts + (first + b) * kCountTile + c;
      for (std::size_t i = 0; i < sizeof bytes; ++i) {
        to[i] = static_cast<std::uint16_t>(to[i] + bytes[i]);
      }
    }
  }
}

template <int Bins>
void count_symbols(const std::uint8_t* symbols, std::size_t tokens, std::uint32_t bins,
                   std::uint16_t* counts, Staging*) {
  if (bins > 64) {
    count_one_by_one(symbols, tokens, bins, counts);
    return;
  }
  for (std::uint32_t first = 0; first < bins; first += Bins) {
    count_abreast<Bins>(symbols, tokens, first, bins, counts);
  }
}
