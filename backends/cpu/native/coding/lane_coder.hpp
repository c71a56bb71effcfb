// The coder's loops over rows and tokens, for any set of vector operations (see lane_vectors.hpp).
// Included by lanes_*.cpp, inside an unnamed namespace.

constexpr int kFineBins = 16;                       // of one coarse bin
constexpr int kRowEntries = kMostBins + kFineBins;  // of a lane's copied model

// A lane without a channel: one symbol that leaves the state as it is.
ACCEL_INLINE void fill_idle_lane(std::uint16_t* row, std::size_t entries) {
  row[0] = 0;
  for (std::size_t i = 1; i < entries; ++i) row[i] = kScale;
}

template <class Ops>
struct Encoder {
  static ACCEL_INLINE std::uint16_t* step(const std::uint8_t* symbols, std::uint8_t most,
                                          const std::uint16_t* model, const U32x16 (&rows)[2],
                                          U32x16 (&x)[2], std::uint16_t* to) {
    U32x16 symbol[2];
    Ops::load_symbols(symbols, most, symbol);
    for (int h = 1; h >= 0; --h) {
      const U32x16 pair = Ops::look_up(model, symbol[h] + rows[h]);
      const U32x16 start = pair & U32x16::all(0xFFFF);
      const U32x16 frequency = (pair >> 16) - start;
      to = Ops::give(to, x[h], frequency);
      const U32x16 q = Ops::divide(x[h], frequency);
      const U32x16 r = x[h] - q * frequency;
      const U32x16 next = (q << kScaleBits) + (r + start);
      const U32x16 correction = U32x16::all(kScale) - frequency;
      x[h] = next + (r.at_least(frequency) & correction);
    }
    return to;
  }

  static std::uint16_t* run(const StreamSymbols& s, std::uint16_t* to, std::uint32_t* states) {
    const std::size_t entries = s.bins + 1;
    const auto most = static_cast<std::uint8_t>(s.bins - 1);
    std::uint32_t row_starts[kLanes];
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      row_starts[i] = i * static_cast<std::uint32_t>(entries);
    }
    const U32x16 rows[2] = {U32x16::load(row_starts), U32x16::load(row_starts + 16)};
    U32x16 x[2] = {U32x16::all(ACCEL_CODEC_STATE_LOW), U32x16::all(ACCEL_CODEC_STATE_LOW)};
    for (std::size_t row = s.rows; row-- > 0;) {
      const std::size_t first = row * kLanes;
      const std::size_t lanes = std::min<std::size_t>(kLanes, s.channels - first);
      const std::uint16_t* model = s.model + first * entries;
      const std::uint8_t* symbols = s.symbols + first;
      if (lanes == kLanes) {
        for (std::size_t t = s.tokens; t-- > 0;) {
          const std::uint8_t* from = symbols + static_cast<std::ptrdiff_t>(t) * s.token_stride;
          to = step(from, most, model, rows, x, to);
        }
      } else {
        std::uint16_t copy[kLanes * (kMostBins + 1)];
        std::memcpy(copy, model, lanes * entries * sizeof *model);
        for (std::size_t i = lanes; i < kLanes; ++i) fill_idle_lane(copy + i * entries, entries);
        std::uint8_t staged[kLanes] = {};
        for (std::size_t t = s.tokens; t-- > 0;) {
          std::memcpy(staged, symbols + static_cast<std::ptrdiff_t>(t) * s.token_stride, lanes);
          to = step(staged, most, copy, rows, x, to);
        }
      }
    }
    std::memcpy(states, x, sizeof x);
    return to;
  }
};

// Words are read from the stream itself while 32 of them are sure to be there, then from a copy
// with zeros behind it: so a step needs one comparison and no read goes astray.
struct Words {
  const std::uint8_t *at, *last, *end;
  bool copied = false;
  std::uint8_t tail[4 * kLanes * 2];

  Words(const std::uint8_t* data, std::size_t words)
      : at(data), last(data), end(data + words * 2) {
    if (words < kLanes) {
      make_room();
    } else {
      last = end - kLanes * 2;
    }
  }
  ACCEL_INLINE bool ready() { return __builtin_expect(at <= last, 1) || make_room(); }
  __attribute__((noinline)) bool make_room() {
    if (copied) return false;
    copied = true;
    const auto left = static_cast<std::size_t>(end - at);  // fewer than 32 words
    std::memset(tail, 0, sizeof tail);
    if (left != 0) std::memcpy(tail, at, left);
    at = tail;
    end = last = tail + left;
    return true;
  }
};

template <class Ops>
struct Decoder {
  typedef typename Ops::Mask Mask;

  // Narrows `Count` bins (a power of two) to one, by halves: table[1 .. Count - 1] are their
  // starts, low and high the start of the first and the end of the last.
  template <int Count>
  static ACCEL_INLINE void search(const U16x32* table, const U16x32& slot, U16x32& low,
                                  U16x32& high, U16x32& symbol) {
    if constexpr (Count > 1) {
      constexpr int kHalf = Count / 2;
      const U16x32 middle = table[kHalf];
      const Mask upper = Ops::at_least(slot, middle);
      low = Ops::select(upper, middle, low);
      high = Ops::select(upper, high, middle);
      symbol = Ops::add_if(upper, kHalf, symbol);
      U16x32 rest[kHalf];
#pragma GCC unroll 64
      for (int i = 1; i < kHalf; ++i) rest[i] = Ops::select(upper, table[kHalf + i], table[i]);
      search<kHalf>(rest, slot, low, high, symbol);
    }
  }

  // Up to 64 bins: all lanes at once.
  template <int Bins>
  struct Wide {
    U16x32 table[Bins];

    void prepare(const std::uint16_t* model, std::size_t lanes, std::size_t bins) {
      for (std::size_t i = 1; i < Bins; ++i) {
        std::uint16_t starts[kLanes];
        for (std::size_t l = 0; l < kLanes; ++l) {
          starts[l] = i < bins && l < lanes ? model[l * (bins + 1) + i] : kScale;
        }
        table[i] = U16x32::load(starts);
      }
    }
    ACCEL_INLINE void find(const U16x32& slot, U16x32& low, U16x32& high, U16x32& symbol) const {
      search<Bins>(table, slot, low, high, symbol);
    }
  };

  // More: groups of 16 bins in all lanes at once, then lane by lane.
  struct Deep {
    U16x32 coarse[kMostBins / kFineBins];
    std::uint16_t fine[kLanes][kRowEntries];

    void prepare(const std::uint16_t* model, std::size_t lanes, std::size_t bins) {
      for (std::size_t l = 0; l < kLanes; ++l) {
        std::size_t known = 1;
        if (l < lanes) {
          known = bins;
          std::memcpy(fine[l], model + l * (bins + 1), bins * sizeof *model);
        }
        fine[l][0] = 0;  // whatever the model has become since it was checked
        for (std::size_t i = known; i < kRowEntries; ++i) fine[l][i] = kScale;
      }
      for (std::size_t g = 1; g < kMostBins / kFineBins; ++g) {
        std::uint16_t starts[kLanes];
        for (std::size_t l = 0; l < kLanes; ++l) starts[l] = fine[l][g * kFineBins];
        coarse[g] = U16x32::load(starts);
      }
    }
    ACCEL_INLINE void find(const U16x32& slot, U16x32& low, U16x32& high, U16x32& symbol) const {
      search<kMostBins / kFineBins>(coarse, slot, low, high, symbol);
      std::uint16_t slots[kLanes], found[kLanes], starts[kLanes], ends[kLanes];
      slot.store(slots);
      symbol.store(found);
#pragma GCC unroll 8
      for (int l = 0; l < kLanes; ++l) {
        const std::uint16_t* row = fine[l] + found[l] * kFineBins;
        const unsigned n = Ops::count_at_most(row, slots[l]);  // at least the group's first
        starts[l] = row[n - 1];
        ends[l] = row[n];
        found[l] = static_cast<std::uint16_t>(found[l] * kFineBins + n - 1);
      }
      low = U16x32::load(starts);
      high = U16x32::load(ends);
      symbol = U16x32::load(found);
    }
  };

  template <class Table>
  static ACCEL_INLINE void step(const Table& table, U32x16 (&x)[2], Words& words,
                                std::uint8_t* to) {
    const U32x16 mask = U32x16::all(kScale - 1u);
    const U32x16 slots[2] = {x[0] & mask, x[1] & mask};
    const U16x32 slot = Ops::narrow(slots);
    U16x32 low = U16x32::all(0), high = U16x32::all(kScale), symbol = low;
    table.find(slot, low, high, symbol);
    Ops::store_symbols(symbol, to);
    U32x16 frequency[2], bias[2];
    Ops::widen(high - low, frequency);
    Ops::widen(slot - low, bias);
    for (int h = 0; h < 2; ++h) {
      x[h] = frequency[h] * (x[h] >> kScaleBits) + bias[h];
      words.at = Ops::take(words.at, x[h]);
    }
  }

  template <class Table>
  static bool run_with(const StreamSymbols& s, Words& words, U32x16 (&x)[2]) {
    alignas(64) Table table;
    for (std::size_t row = 0; row < s.rows; ++row) {
      const std::size_t first = row * kLanes;
      const std::size_t lanes = std::min<std::size_t>(kLanes, s.channels - first);
      table.prepare(s.model + first * (s.bins + 1), lanes, s.bins);
      std::uint8_t* to = s.symbols + first;
      if (lanes == kLanes) {
        for (std::size_t t = 0; t < s.tokens; ++t, to += s.token_stride) {
          if (!words.ready()) return false;
          step(table, x, words, to);
        }
      } else {
        std::uint8_t staged[kLanes];
        for (std::size_t t = 0; t < s.tokens; ++t, to += s.token_stride) {
          if (!words.ready()) return false;
          step(table, x, words, staged);
          std::memcpy(to, staged, lanes);
        }
      }
    }
    return words.at <= words.end;
  }

  static bool run(const StreamSymbols& s, const std::uint8_t* data, std::size_t count,
                  std::uint32_t* states, std::size_t* left) {
    Words words(data, count);
    U32x16 x[2];
    std::memcpy(x, states, sizeof x);
    bool ok;
    if (s.bins <= 2) {
      ok = run_with<Wide<2>>(s, words, x);
    } else if (s.bins <= 4) {
      ok = run_with<Wide<4>>(s, words, x);
    } else if (s.bins <= 8) {
      ok = run_with<Wide<8>>(s, words, x);
    } else if (s.bins <= 16) {
      ok = run_with<Wide<16>>(s, words, x);
    } else if (s.bins <= 32) {
      ok = run_with<Wide<32>>(s, words, x);
    } else if (s.bins <= 64) {
      ok = run_with<Wide<64>>(s, words, x);
    } else {
      ok = run_with<Deep>(s, words, x);
    }
    if (ok) *left = static_cast<std::size_t>(words.end - words.at) / 2;
    std::memcpy(states, x, sizeof x);
    return ok;
  }
};
