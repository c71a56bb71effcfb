// Histograms by bit planes, for AVX-512 with BITALG. Included by lanes_avx512.cpp, inside an
// unnamed namespace.
//
// The bits of 8 symbols of a channel are turned into one byte a bit, so that a vector holds one bit
// of 8 x 64 symbols. A bin is then a product of bits or their complements, and a population count
// of bytes counts it 8 symbols at a time.

constexpr int kGroupTokens = 8;
constexpr int kBlockGroups = kCountTokens / kGroupTokens;

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
ACCEL_INLINE void read_group(__m512i (&r)[kGroupTokens], PlaneBlock& block, int group,
                             __m512i& seen) {
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

ACCEL_INLINE void add_wide(__m512i bytes, std::uint16_t* to) {
  const __m512i low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(bytes));
  const __m512i high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(bytes, 1));
  _mm512_storeu_si512(to, _mm512_add_epi16(low, _mm512_loadu_si512(to)));
  _mm512_storeu_si512(to + 32, _mm512_add_epi16(high, _mm512_loadu_si512(to + 32)));
}

// Adds the block's counts of bins 8 * high to 8 * high + 7.
template <int HighPlanes>
ACCEL_INLINE void count_eight(const PlaneBlock& block, int groups, std::uint32_t high,
                              std::uint16_t* counts) {
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
  for (std::uint32_t i = 0; i < 8; ++i) add_wide(sums[i], counts + (high * 8 + i) * kCountTile);
}

template <int HighPlanes>
void count_planes(const std::uint8_t* symbols, std::size_t tokens, std::uint32_t bins,
                  std::uint16_t* counts, Staging& next) {
  PlaneBlock block;
  __m512i seen = _mm512_setzero_si512();
  const int groups = static_cast<int>((tokens + kGroupTokens - 1) / kGroupTokens);
  const int missing = groups * kGroupTokens - static_cast<int>(tokens);
  for (int g = 0; g < groups; ++g) {
    stage_lines<kGroupTokens>(next);
    const std::uint8_t* from = symbols + static_cast<std::size_t>(g) * kGroupTokens * kCountTile;
    const int there = g + 1 < groups ? kGroupTokens : kGroupTokens - missing;
    __m512i r[kGroupTokens];
    for (int i = 0; i < kGroupTokens; ++i) {
      r[i] = i < there ? _mm512_loadu_si512(from + i * kCountTile) : _mm512_setzero_si512();
    }
    read_group<HighPlanes>(r, block, g, seen);
  }
  constexpr int kOutside = 0xFF << (3 + HighPlanes) & 0xFF;
  if (kOutside != 0 && _mm512_test_epi8_mask(seen, _mm512_set1_epi8(kOutside)) != 0) {
    count_one_by_one(symbols, tokens, bins, counts);  // not by their lower bits
    return;
  }
  for (std::uint32_t high = 0; high * 8 < bins; ++high) {
    count_eight<HighPlanes>(block, groups, high, counts);
  }
  if (missing != 0) {  // they were counted as zeros
    for (std::size_t c = 0; c < kCountTile; ++c) {
      counts[c] = static_cast<std::uint16_t>(counts[c] - missing);
    }
  }
}

void count_by_planes(const std::uint8_t* symbols, std::size_t tokens, std::uint32_t bins,
                     std::uint16_t* counts, Staging* next) {
  if (bins <= 8) {
    count_planes<0>(symbols, tokens, bins, counts, *next);
  } else if (bins <= 16) {
    count_planes<1>(symbols, tokens, bins, counts, *next);
  } else if (bins <= 32) {
    count_planes<2>(symbols, tokens, bins, counts, *next);
  } else if (bins <= 64) {
    count_planes<3>(symbols, tokens, bins, counts, *next);
  } else if (bins <= 128) {
    count_planes<4>(symbols, tokens, bins, counts, *next);
  } else {
    count_planes<5>(symbols, tokens, bins, counts, *next);
  }
}
