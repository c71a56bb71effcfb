// The loops of RowKernels, for the instruction set that is selected where this is included: inside
// an unnamed namespace of rows_*.cpp, after <accel/kv_number.h> and <cstring>, with ACCEL_ROW_LANES
// floats to a register. Plain loops without branches, which compilers turn into vector code.

#define ACCEL_ROW __restrict
// For what passes registers on, which it does not when called.
#define ACCEL_ROW_INLINE __attribute__((always_inline)) inline

template <class Element, float (*From)(Element)>
void load_row(const void* from, std::size_t n, float* ACCEL_ROW to) {
  const auto* ACCEL_ROW source = static_cast<const Element*>(from);
  for (std::size_t i = 0; i < n; ++i) to[i] = From(source[i]);
}

template <class Element, Element (*To)(float)>
void store_row(const float* ACCEL_ROW from, std::size_t n, void* to) {
  auto* ACCEL_ROW target = static_cast<Element*>(to);
  for (std::size_t i = 0; i < n; ++i) target[i] = To(from[i]);
}

void load_f32(const void* from, std::size_t n, float* to) { std::memcpy(to, from, n * 4); }
void store_f32(const float* from, std::size_t n, void* to) { std::memcpy(to, from, n * 4); }

struct Divide {
  static float apply(float a, float b) { return a / b; }
};
struct Multiply {
  static float apply(float a, float b) { return a * b; }
};
struct Add {
  static float apply(float a, float b) { return a + b; }
};
struct Subtract {
  static float apply(float a, float b) { return a - b; }
};

template <class Op>
void with_one(float* x, std::size_t n, float y) {
  for (std::size_t i = 0; i < n; ++i) x[i] = Op::apply(x[i], y);
}

template <class Op>
void with_each(float* ACCEL_ROW x, std::size_t n, const float* ACCEL_ROW y) {
  for (std::size_t i = 0; i < n; ++i) x[i] = Op::apply(x[i], y[i]);
}

void range_each(const float* ACCEL_ROW x, std::size_t n, float* ACCEL_ROW low,
                float* ACCEL_ROW high) {
  for (std::size_t i = 0; i < n; ++i) {
    const bool finite = (accel_bits_of(x[i]) & 0x7F800000u) != 0x7F800000u;
    const float below = finite ? x[i] : low[i], above = finite ? x[i] : high[i];
    low[i] = below < low[i] ? below : low[i];
    high[i] = above > high[i] ? above : high[i];
  }
}

void join_pairs(const float* ACCEL_ROW low, const float* ACCEL_ROW high, std::size_t pairs,
                float* ACCEL_ROW to_low, float* ACCEL_ROW to_high) {
  for (std::size_t i = 0; i < pairs; ++i) {
    to_low[i] = low[2 * i] < low[2 * i + 1] ? low[2 * i] : low[2 * i + 1];
    to_high[i] = high[2 * i] > high[2 * i + 1] ? high[2 * i] : high[2 * i + 1];
  }
}

void finite_ends(const float* ACCEL_ROW x, std::size_t n, float* ACCEL_ROW low,
                 float* ACCEL_ROW high) {
  for (std::size_t i = 0; i < n; ++i) {
    const bool finite = (accel_bits_of(x[i]) & 0x7F800000u) != 0x7F800000u;
    low[i] = finite ? x[i] : accel_of_bits(0x7F800000u);
    high[i] = finite ? x[i] : accel_of_bits(0xFF800000u);
  }
}

// Groups of any size, kTile elements in all: neighbours are joined until what is left is odd.
void range_groups_by_pairs(const float* x, std::size_t groups, std::size_t size, float* low,
                           float* high) {
  std::size_t odd = size;
  while (odd % 2 == 0 && odd > 0) odd /= 2;
  alignas(64) float lows[2][kTile], highs[2][kTile];
  int at = 0;
  finite_ends(x, groups * size, lows[0], highs[0]);
  for (; size > odd; size /= 2, at ^= 1) {
    join_pairs(lows[at], highs[at], groups * size / 2, lows[at ^ 1], highs[at ^ 1]);
  }
  if (odd == 1) {
    std::memcpy(low, lows[at], groups * sizeof(float));
    std::memcpy(high, highs[at], groups * sizeof(float));
    return;
  }
  for (std::size_t g = 0; g < groups; ++g) {
    const float *some_low = lows[at] + g * odd, *some_high = highs[at] + g * odd;
    float least = some_low[0], most = some_high[0];
    for (std::size_t i = 1; i < odd; ++i) {
      least = some_low[i] < least ? some_low[i] : least;
      most = some_high[i] > most ? some_high[i] : most;
    }
    low[g] = least;
    high[g] = most;
  }
}

// As many floats as a register holds.
constexpr int kLanes = ACCEL_ROW_LANES;
typedef float Lanes __attribute__((vector_size(kLanes * 4)));
typedef int LaneNumbers __attribute__((vector_size(kLanes * 4)));

template <int By>
ACCEL_ROW_INLINE void rotate_lanes(const Lanes& v, Lanes* out) {
#ifdef __clang__
  for (int i = 0; i < kLanes; ++i) (*out)[i] = v[(i + By) % kLanes];
#else
  LaneNumbers from{};
  for (int i = 0; i < kLanes; ++i) from[i] = (i + By) % kLanes;
  *out = __builtin_shuffle(v, from);
#endif
}

// Joins the halves of two registers, and those of the halves.
template <int Half>
ACCEL_ROW_INLINE void join_lanes(Lanes* least, Lanes* most) {
  if constexpr (Half > 0) {
    Lanes v, w;
    rotate_lanes<Half>(*least, &v);
    rotate_lanes<Half>(*most, &w);
    *least = v < *least ? v : *least;
    *most = w > *most ? w : *most;
    join_lanes<Half / 2>(least, most);
  }
}

// Groups of whole Lanes. NaN compares false and is passed over; false if there are infinities, which
// are not.
bool range_groups_of_lanes(const float* ACCEL_ROW x, std::size_t groups, std::size_t size,
                           float* ACCEL_ROW low, float* ACCEL_ROW high) {
  const float none = accel_of_bits(0x7F800000u);
  const Lanes nothing = Lanes{} + none;
  bool infinite = false;
  for (std::size_t g = 0; g < groups; ++g) {
    Lanes least = nothing, most = -nothing, least2 = nothing, most2 = -nothing, v, w;
    std::size_t i = 0;
    for (; i + 2 * kLanes <= size; i += 2 * kLanes) {
      std::memcpy(&v, x + i, sizeof v);
      std::memcpy(&w, x + i + kLanes, sizeof w);
      least = v < least ? v : least;
      most = v > most ? v : most;
      least2 = w < least2 ? w : least2;
      most2 = w > most2 ? w : most2;
    }
    if (i < size) {
      std::memcpy(&v, x + i, sizeof v);
      least = v < least ? v : least;
      most = v > most ? v : most;
    }
    least = least2 < least ? least2 : least;
    most = most2 > most ? most2 : most;
    join_lanes<kLanes / 2>(&least, &most);
    low[g] = least[0];
    high[g] = most[0];
    infinite |= low[g] == -none || high[g] == none;
    x += size;
  }
  return !infinite;
}

// Of any values: ranges abreast, which hide the latency of comparing, then joined.
void range_with_infinities(const float* x, std::size_t n, float* low, float* high) {
  constexpr std::size_t kAbreast = 64;
  alignas(64) float lows[kAbreast], highs[kAbreast];
  for (std::size_t i = 0; i < kAbreast; ++i) {
    lows[i] = *low;
    highs[i] = *high;
  }
  std::size_t i = 0;
  for (; i + kAbreast <= n; i += kAbreast) range_each(x + i, kAbreast, lows, highs);
  range_each(x + i, n - i, lows, highs);
  for (std::size_t l = 0; l < kAbreast; ++l) {
    *low = lows[l] < *low ? lows[l] : *low;
    *high = highs[l] > *high ? highs[l] : *high;
  }
}

void range_of_all(const float* x, std::size_t n, float* low, float* high) {
  const std::size_t whole = n - n % kLanes;
  float least, most;
  if (whole == 0 || !range_groups_of_lanes(x, 1, whole, &least, &most)) {
    range_with_infinities(x, n, low, high);
    return;
  }
  *low = least < *low ? least : *low;
  *high = most > *high ? most : *high;
  for (std::size_t i = whole; i < n; ++i) range_each(x + i, 1, low, high);
}

void range_groups(const float* x, std::size_t groups, std::size_t size, float* low, float* high) {
  if (size % kLanes == 0 && range_groups_of_lanes(x, groups, size, low, high)) return;
  if (size <= 64) {
    range_groups_by_pairs(x, groups, size, low, high);
    return;
  }
  for (std::size_t g = 0; g < groups; ++g, x += size) {
    low[g] = accel_of_bits(0x7F800000u);
    high[g] = accel_of_bits(0xFF800000u);
    range_of_all(x, size, low + g, high + g);
  }
}

void spread(const float* ACCEL_ROW values, std::size_t groups, std::size_t size,
            float* ACCEL_ROW to) {
  if (size == 1) {
    std::memcpy(to, values, groups * sizeof(float));
    return;
  }
  if (size % 16 == 0) {
    for (std::size_t g = 0; g < groups; ++g) {
      for (std::size_t i = 0; i < size; i += 16, to += 16) {
        for (std::size_t l = 0; l < 16; ++l) to[l] = values[g];
      }
    }
    return;
  }
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t i = 0; i < size; ++i) *to++ = values[g];
  }
}

void store_codes(const float* ACCEL_ROW x, std::size_t n, int zero, int lowest, int highest,
                 std::uint8_t* ACCEL_ROW to) {
  for (std::size_t i = 0; i < n; ++i) {
    to[i] = static_cast<std::uint8_t>(accel_to_code(x[i], zero, lowest, highest));
  }
}

void load_codes(const std::uint8_t* ACCEL_ROW from, std::size_t n, bool is_signed, int zero,
                float* ACCEL_ROW to) {
  if (is_signed) {
    for (std::size_t i = 0; i < n; ++i) {
      to[i] = static_cast<float>(static_cast<std::int8_t>(from[i]) - zero);
    }
  } else {
    for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i] - zero);
  }
}

template <bool Each, bool Shifted>
void encode_row(const float* ACCEL_ROW x, std::size_t n, const float* ACCEL_ROW scales,
                const float* ACCEL_ROW offsets, int zero, int lowest, int highest,
                std::uint8_t* ACCEL_ROW to) {
  const float scale = scales[0], offset = Shifted ? offsets[0] : 0.0f;
  for (std::size_t i = 0; i < n; ++i) {
    const float shifted = Shifted ? x[i] - (Each ? offsets[i] : offset) : x[i];
    to[i] = static_cast<std::uint8_t>(
        accel_to_code(shifted / (Each ? scales[i] : scale), zero, lowest, highest));
  }
}

void encode(const float* x, std::size_t n, const float* scales, const float* offsets, bool each,
            int zero, int lowest, int highest, std::uint8_t* to) {
  if (n == 0) return;
  const auto row = each ? (offsets != nullptr ? encode_row<true, true> : encode_row<true, false>)
                        : (offsets != nullptr ? encode_row<false, true> : encode_row<false, false>);
  row(x, n, scales, offsets, zero, lowest, highest, to);
}

template <class Byte, bool Each, bool Shifted>
void decode_row(const std::uint8_t* from, std::size_t n, int zero, const float* ACCEL_ROW scales,
                const float* ACCEL_ROW offsets, float* ACCEL_ROW to) {
  const auto* ACCEL_ROW codes = reinterpret_cast<const Byte*>(from);
  const float scale = scales[0], offset = Shifted ? offsets[0] : 0.0f;
  for (std::size_t i = 0; i < n; ++i) {
    const float scaled = static_cast<float>(codes[i] - zero) * (Each ? scales[i] : scale);
    to[i] = Shifted ? scaled + (Each ? offsets[i] : offset) : scaled;
  }
}

template <class Byte>
void decode_bytes(const std::uint8_t* from, std::size_t n, int zero, const float* scales,
                  const float* offsets, bool each, float* to) {
  const auto row =
      each ? (offsets != nullptr ? decode_row<Byte, true, true> : decode_row<Byte, true, false>)
           : (offsets != nullptr ? decode_row<Byte, false, true> : decode_row<Byte, false, false>);
  row(from, n, zero, scales, offsets, to);
}

void decode(const std::uint8_t* from, std::size_t n, bool is_signed, int zero, const float* scales,
            const float* offsets, bool each, float* to) {
  if (n == 0) return;
  const auto bytes = is_signed ? decode_bytes<std::int8_t> : decode_bytes<std::uint8_t>;
  bytes(from, n, zero, scales, offsets, each, to);
}

void pack4(const std::uint8_t* ACCEL_ROW codes, std::size_t bytes, std::uint8_t* ACCEL_ROW to) {
  for (std::size_t i = 0; i < bytes; ++i) {
    to[i] = static_cast<std::uint8_t>((codes[2 * i] & 15) | codes[2 * i + 1] << 4);
  }
}

void unpack4(const std::uint8_t* ACCEL_ROW from, std::size_t bytes, std::uint8_t* ACCEL_ROW codes) {
  for (std::size_t i = 0; i < bytes; ++i) {  // (v ^ 8) - 8 extends the sign of four bits
    codes[2 * i] = static_cast<std::uint8_t>(((from[i] & 15) ^ 8) - 8);
    codes[2 * i + 1] = static_cast<std::uint8_t>(((from[i] >> 4) ^ 8) - 8);
  }
}

void rotate_halves(float* ACCEL_ROW x, float* ACCEL_ROW y, std::size_t n, const float* ACCEL_ROW c,
                   const float* ACCEL_ROW s) {
  for (std::size_t i = 0; i < n; ++i) {
    const float turned = x[i] * c[i] - y[i] * s[i];
    y[i] = x[i] * s[i] + y[i] * c[i];
    x[i] = turned;
  }
}

void rotate_pairs(float* ACCEL_ROW xy, std::size_t pairs, const float* ACCEL_ROW c,
                  const float* ACCEL_ROW s) {
  for (std::size_t i = 0; i < pairs; ++i) {
    const float x = xy[2 * i], y = xy[2 * i + 1];
    xy[2 * i] = x * c[i] - y * s[i];
    xy[2 * i + 1] = x * s[i] + y * c[i];
  }
}

// Quarter turns are taken off in three parts of pi/2, of 22, 22 and 53 bits, so that the products
// are exact (Cody and Waite, Software Manual for the Elementary Functions, 1980); within an eighth
// of a turn the Taylor series to r^11 and r^12 is good to 1e-11.
void cos_sin(const double* ACCEL_ROW angle, std::size_t n, float* ACCEL_ROW c, float* ACCEL_ROW s) {
  constexpr double kHigh = 0x1.921fb00000000p+0, kMiddle = 0x1.5110b00000000p-22,
                   kLow = 0x1.18469898cc517p-44, kTurns = 0x1.45f306dc9c883p-1;
  constexpr double kRound = 0x1.8p52;  // adding it rounds to an integer, found in the low bits
  for (std::size_t i = 0; i < n; ++i) {
    const double shifted = angle[i] * kTurns + kRound;
    const double quarters = shifted - kRound;
    std::uint64_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    const double r = angle[i] - quarters * kHigh - quarters * kMiddle - quarters * kLow;
    const double q = r * r;
    const double sine =
        r + r * q * (-1.0 / 6 + q * (1.0 / 120 + q * (-1.0 / 5040 + q * (1.0 / 362880 +
            q * (-1.0 / 39916800)))));
    const double cosine =
        1.0 + q * (-0.5 + q * (1.0 / 24 + q * (-1.0 / 720 + q * (1.0 / 40320 +
            q * (-1.0 / 3628800 + q * (1.0 / 479001600))))));
    const double first = (bits & 1) != 0 ? sine : cosine, second = (bits & 1) != 0 ? cosine : sine;
    c[i] = static_cast<float>(((bits + 1) & 2) != 0 ? -first : first);
    s[i] = static_cast<float>((bits & 2) != 0 ? -second : second);
  }
}

constexpr RowKernels table(const char* name) {
  return {
      name,
      {load_f32, load_row<accel_u16, accel_from_f16>, load_row<accel_u16, accel_from_bf16>,
       load_row<accel_u8, accel_from_e4m3>, load_row<accel_u8, accel_from_e5m2>,
       load_row<accel_u8, accel_from_i8>},
      {store_f32, store_row<accel_u16, accel_to_f16>, store_row<accel_u16, accel_to_bf16>,
       store_row<accel_u8, accel_to_e4m3>, store_row<accel_u8, accel_to_e5m2>,
       store_row<accel_u8, accel_to_i8>},
      with_one<Divide>,
      with_each<Divide>,
      with_one<Multiply>,
      with_each<Multiply>,
      with_one<Add>,
      with_each<Add>,
      with_each<Subtract>,
      range_of_all,
      range_each,
      range_groups,
      spread,
      store_codes,
      load_codes,
      encode,
      decode,
      pack4,
      unpack4,
      rotate_halves,
      rotate_pairs,
      cos_sin,
  };
}

// For instruction sets that convert float16 themselves.
[[maybe_unused]] constexpr RowKernels with_f16(RowKernels rows,
                                               void (*load)(const void*, std::size_t, float*),
                                               void (*store)(const float*, std::size_t, void*)) {
  rows.load[static_cast<int>(Kind::F16)] = load;
  rows.store[static_cast<int>(Kind::F16)] = store;
  return rows;
}

#undef ACCEL_ROW_INLINE
#undef ACCEL_ROW
