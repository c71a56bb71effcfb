// Histograms by bit planes, for AVX-512 with BITALG. Included by lanes_avx512.cpp, inside an unnamed
// namespace.
//
// The bits of 8 symbols of a channel are turned into one byte a bit, so that a vector holds one bit
// of 8 x 64 symbols. A bin is then a product of bits or their complements, and a population count of
// bytes counts it 8 symbols at a time.

constexpr int kGroupTokens = 8;
constexpr int kBlockGroups = 16;  // whose planes stay in the first cache; counts fit into bytes

// Bytes of `high` where `mask` is 0, of `low` where it is 1.
ACCEL_INLINE __m512i pick(__m512i mask, __m512i low, __m512i high) {
  return _mm512_ternarylogic_epi64(mask, low, high, 0xCA);
}

// Exchanges blocks of `shift` bits of two rows of a bit matrix: its transposition in three steps.
ACCEL_INLINE void cross(__m512i& a, __m512i& b, int shift, char low_bits) {
  const __m512i mask = _mm512_set1_epi8(low_bits);
  const __m512i first = pick(mask, a, _mm512_slli_epi16(b, shift));
  b = pick(mask, _mm512_srli_epi16(a, shift), b);
  a = first;
}

struct PlaneBlock {
  __m512i low[kBlockGroups][8];   // products of the three lowest bits
  __m512i high[kBlockGroups][5];  // the others
};

template <int HighPlanes>
ACCEL_INLINE void read_group(const std::uint8_t* symbols, std::ptrdiff_t token_stride,
                             PlaneBlock& block, int group, __m512i& seen) {
  __m512i r[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm512_loadu_si512(symbols + i * token_stride);
  for (int i = 0; i < 8; i += 2) seen = _mm512_ternarylogic_epi64(seen, r[i], r[i + 1], 0xFE);
  for (int i = 0; i < 4; ++i) cross(r[i], r[i + 4], 4, 0x0F);
  for (int i : {0, 1, 4, 5}) cross(r[i], r[i + 2], 2, 0x33);
  for (int i : {0, 2, 4, 6}) cross(r[i], r[i + 1], 1, 0x55);
  __m512i* const low = block.low[group];
  low[0] = _mm512_ternarylogic_epi64(r[2], r[1], r[0], 0x01);
  low[1] = _mm512_ternarylogic_epi64(r[2], r[1], r[0], 0x02);
  low[2] = _mm512_ternarylogic_epi64(r[2], r[1], r[0], 0x04);
  low[3] = _mm512_ternarylogic_epi64(r[2], r[1], r[0], 0x08);
  low[4] = _mm512_ternarylogic_epi64(r[2], r[1], r[0], 0x10);
  low[5] = _mm512_ternarylogic_epi64(r[2], r[1], r[0], 0x20);
  low[6] = _mm512_ternarylogic_epi64(r[2], r[1], r[0], 0x40);
  low[7] = _mm512_ternarylogic_epi64(r[2], r[1], r[0], 0x80);
  for (int i = 0; i < HighPlanes; ++i) block.high[group][i] = r[3 + i];
}

// Adds the block's counts of bins 8 * high to 8 * high + 7.
template <int HighPlanes>
ACCEL_INLINE void count_eight(const PlaneBlock& block, int groups, std::uint32_t high,
                              std::uint32_t bins, std::uint32_t* counts) {
  __m512i flips[HighPlanes + 1];
  for (int i = 0; i < HighPlanes; ++i) {
    flips[i] = _mm512_set1_epi8(high >> i & 1 ? 0 : -1);
  }
  __m512i sums[8];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (int g = 0; g < groups; ++g) {
    __m512i mine = _mm512_set1_epi8(-1);
    for (int i = 0; i < HighPlanes; ++i) {  // mine & (plane ^ flip)
      mine = _mm512_ternarylogic_epi64(mine, block.high[g][i], flips[i], 0x60);
    }
    for (int i = 0; i < 8; ++i) {
      const __m512i bin = _mm512_and_si512(block.low[g][i], mine);
      sums[i] = _mm512_add_epi8(sums[i], _mm512_popcnt_epi8(bin));
    }
  }
  for (std::uint32_t i = 0; i < 8 && high * 8 + i < bins; ++i) {
    std::uint32_t* to = counts + (high * 8 + i) * kCountTile;
    for (int part = 0; part < 4; ++part) {
      alignas(64) std::uint8_t bytes[kCountTile];
      _mm512_store_si512(bytes, sums[i]);
      const __m512i wide = _mm512_cvtepu8_epi32(
          _mm_load_si128(reinterpret_cast<const __m128i*>(bytes) + part));
      _mm512_storeu_si512(to + part * 16,
                          _mm512_add_epi32(wide, _mm512_loadu_si512(to + part * 16)));
    }
  }
}

template <int HighPlanes>
void count_planes(const std::uint8_t* symbols, std::ptrdiff_t token_stride, std::size_t tokens,
                  std::uint32_t bins, std::uint32_t* counts) {
  PlaneBlock block;
  __m512i seen = _mm512_setzero_si512();
  const std::uint8_t* from = symbols;
  std::size_t left = tokens / kGroupTokens;
  const std::size_t rest = tokens % kGroupTokens;
  while (left != 0) {
    const int groups = static_cast<int>(std::min<std::size_t>(left, kBlockGroups));
    for (int g = 0; g < groups; ++g, from += kGroupTokens * token_stride) {
      // Rows lie pages apart: the hardware does not look that far ahead.
      for (int i = 0; i < kGroupTokens; ++i) {
        __builtin_prefetch(from + (3 * kGroupTokens + i) * token_stride);
      }
      read_group<HighPlanes>(from, token_stride, block, g, seen);
    }
    for (std::uint32_t high = 0; high * 8 < bins; ++high) {
      count_eight<HighPlanes>(block, groups, high, bins, counts);
    }
    left -= static_cast<std::size_t>(groups);
  }
  constexpr int kOutside = 0xFF << (3 + HighPlanes) & 0xFF;
  if (kOutside != 0 && _mm512_test_epi8_mask(seen, _mm512_set1_epi8(kOutside)) != 0) {
    // Their lower bits were counted: once more, with care.
    std::memset(counts, 0, bins * kCountTile * sizeof *counts);
    count_one_by_one(symbols, token_stride, tokens, kCountTile, bins, counts);
  } else if (rest != 0) {
    count_one_by_one(from, token_stride, rest, kCountTile, bins, counts);
  }
}

void count_by_planes(const std::uint8_t* symbols, std::ptrdiff_t token_stride, std::size_t tokens,
                     std::size_t channels, std::uint32_t bins, std::uint32_t* counts) {
  if (channels < kCountTile) {
    count_symbols<16>(symbols, token_stride, tokens, channels, bins, counts);
    return;
  }
  std::memset(counts, 0, bins * kCountTile * sizeof *counts);
  if (bins <= 8) {
    count_planes<0>(symbols, token_stride, tokens, bins, counts);
  } else if (bins <= 16) {
    count_planes<1>(symbols, token_stride, tokens, bins, counts);
  } else if (bins <= 32) {
    count_planes<2>(symbols, token_stride, tokens, bins, counts);
  } else if (bins <= 64) {
    count_planes<3>(symbols, token_stride, tokens, bins, counts);
  } else if (bins <= 128) {
    count_planes<4>(symbols, token_stride, tokens, bins, counts);
  } else {
    count_planes<5>(symbols, token_stride, tokens, bins, counts);
  }
}
