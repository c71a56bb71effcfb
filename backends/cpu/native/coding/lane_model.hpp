// Cumulative frequencies from counts, kCountTile channels abreast. Included by lanes_*.cpp, inside
// an unnamed namespace.

// to[c * stride + b] = from[b * kCountTile + c] for `bins` bins and `channels` channels.
inline void turn_rows(const std::uint16_t* from, std::size_t bins, std::size_t channels,
                      std::uint16_t* to, std::size_t stride) {
  std::size_t done = 0;
#ifdef __SSE2__
  if (channels == kCountTile) {
    for (; done + 8 <= bins; done += 8) {
      for (std::size_t c = 0; c < kCountTile; c += 8) {
        __m128i a[8], b[8];
        for (std::size_t i = 0; i < 8; ++i) {
          a[i] = load_as<__m128i>(from + (done + i) * kCountTile + c);
        }
        for (std::size_t i = 0; i < 4; ++i) {  // pairs of bins
          b[2 * i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
          b[2 * i + 1] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
        }
        for (std::size_t i = 0; i < 2; ++i) {  // fours, two channels a vector
          a[4 * i] = _mm_unpacklo_epi32(b[4 * i], b[4 * i + 2]);
          a[4 * i + 1] = _mm_unpackhi_epi32(b[4 * i], b[4 * i + 2]);
          a[4 * i + 2] = _mm_unpacklo_epi32(b[4 * i + 1], b[4 * i + 3]);
          a[4 * i + 3] = _mm_unpackhi_epi32(b[4 * i + 1], b[4 * i + 3]);
        }
        for (std::size_t i = 0; i < 4; ++i) {
          const __m128i even = _mm_unpacklo_epi64(a[i], a[i + 4]);
          const __m128i odd = _mm_unpackhi_epi64(a[i], a[i + 4]);
          std::memcpy(to + (c + 2 * i) * stride + done, &even, sizeof even);
          std::memcpy(to + (c + 2 * i + 1) * stride + done, &odd, sizeof odd);
        }
      }
    }
  }
#endif
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t b = done; b < bins; ++b) to[c * stride + b] = from[b * kCountTile + c];
  }
}

// below * shared / tokens, rounded down.
struct ByShortShift {  // tokens is a power of two up to 1 << 15: both factors fit into 16 bits
  typedef std::uint16_t Number;
  int bits;
  ACCEL_INLINE std::uint16_t operator()(std::uint16_t below, std::uint16_t shared) const {
    const auto scaled = static_cast<std::uint16_t>(below << (15 - bits));
    const auto twice = static_cast<std::uint16_t>(shared << 1);
    return static_cast<std::uint16_t>(std::uint32_t{scaled} * twice >> 16);
  }
};
struct ByInverse {
  typedef std::uint32_t Number;
  // (n + 0.5) / tokens is no closer than 0.5 / tokens to a whole number, which is more than all
  // rounding here.
  double inverse;
  ACCEL_INLINE std::uint32_t operator()(std::uint32_t below, std::uint32_t shared) const {
    const double product = static_cast<double>(static_cast<std::int32_t>(below)) *
                           static_cast<double>(static_cast<std::int32_t>(shared));
    return static_cast<std::uint32_t>(static_cast<std::int32_t>((product + 0.5) * inverse));
  }
};

template <class Count, class Divide>
bool fill_rows(const Count* counts, std::size_t tokens, std::size_t channels, std::uint32_t bins,
               bool exact, Divide divide, std::uint16_t* rows) {
  typedef typename Divide::Number Number;
  constexpr std::size_t kTile = kCountTile;
  alignas(64) Number below[kTile] = {}, shared[kTile];
  alignas(64) std::uint16_t floors[kTile] = {}, used[kTile] = {}, used_floor[kTile];
  for (std::uint32_t b = 0; b < bins; ++b) {
    for (std::size_t c = 0; c < kTile; ++c) {
      used[c] = static_cast<std::uint16_t>(used[c] + (counts[b * kTile + c] != 0));
    }
  }
  for (std::size_t c = 0; c < kTile; ++c) {
    const accel_codec_floors f = accel_codec_choose_floors(tokens, bins, used[c], exact);
    shared[c] = static_cast<Number>(f.shared);
    used_floor[c] = static_cast<std::uint16_t>(f.used);
  }
  const std::uint16_t unused_floor = exact ? 0 : 1;
  alignas(64) std::uint16_t tile[kMostBins * kTile];
  for (std::uint32_t b = 0; b < bins; ++b) {
    const Count* n = counts + b * kTile;
    std::uint16_t* starts = tile + b * kTile;
    for (std::size_t c = 0; c < kTile; ++c) {
      starts[c] = static_cast<std::uint16_t>(divide(below[c], shared[c]) + floors[c]);
      below[c] = static_cast<Number>(below[c] + n[c]);
      const std::uint16_t floor = n[c] != 0 ? used_floor[c] : unused_floor;
      floors[c] = static_cast<std::uint16_t>(floors[c] + floor);
    }
  }
  const std::size_t stride = bins + 1;
  turn_rows(tile, bins, channels, rows, stride);
  bool all = true;
  for (std::size_t c = 0; c < channels; ++c) {
    rows[c * stride + bins] = kScale;
    all &= below[c] == tokens;
  }
  return all;
}

inline bool make_rows_wide(const std::uint32_t* counts, std::size_t tokens, std::size_t channels,
                           std::uint32_t bins, bool exact, std::uint16_t* rows) {
  const ByInverse divide{1.0 / static_cast<double>(tokens)};
  return fill_rows(counts, tokens, channels, bins, exact, divide, rows);
}

inline bool make_rows(const std::uint16_t* counts, std::size_t tokens, std::size_t channels,
                      std::uint32_t bins, bool exact, std::uint16_t* rows) {
  if ((tokens & (tokens - 1)) == 0 && tokens <= std::size_t{1} << 15) {
    const ByShortShift divide{__builtin_ctzll(tokens)};
    return fill_rows(counts, tokens, channels, bins, exact, divide, rows);
  }
  const ByInverse divide{1.0 / static_cast<double>(tokens)};
  return fill_rows(counts, tokens, channels, bins, exact, divide, rows);
}
