// Vectors of lanes, and what can be done with them. Included by lanes_*.cpp inside an unnamed
// namespace, after kVectorBytes: every one of them compiles its own copy, for its own processor.
//
// GCC and Clang lower vectors of the processor's own width to its instructions. PortableOps is all
// that is needed; the other sets override what compilers do not find by themselves.

constexpr int kScaleBits = ACCEL_CODEC_SCALE_BITS;
constexpr std::uint16_t kScale = ACCEL_CODEC_SCALE;

#define ACCEL_INLINE inline __attribute__((always_inline))

template <class T>
ACCEL_INLINE T load_as(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T, int N>
struct Lanes {
  typedef T Part __attribute__((vector_size(kVectorBytes)));
  static constexpr int kParts = N * static_cast<int>(sizeof(T)) / kVectorBytes;
  Part part[kParts];

  static ACCEL_INLINE Lanes load(const void* from) { return load_as<Lanes>(from); }
  ACCEL_INLINE void store(void* to) const { std::memcpy(to, part, sizeof part); }

  static ACCEL_INLINE Lanes all(T value) {
    Lanes r;
    for (int i = 0; i < kParts; ++i) r.part[i] = Part{} + value;
    return r;
  }

  // All ones where it holds, as signed numbers.
  ACCEL_INLINE Lanes at_least(const Lanes& b) const {
    typedef std::conditional_t<sizeof(T) == 2, std::int16_t, std::int32_t> Signed;
    typedef typename Lanes<Signed, N>::Part S;
    Lanes r;
    for (int i = 0; i < kParts; ++i) r.part[i] = (Part)((S)part[i] >= (S)b.part[i]);
    return r;
  }

#define ACCEL_LANES_OPERATOR(op)                                          \
  friend ACCEL_INLINE Lanes operator op(const Lanes& a, const Lanes& b) { \
    Lanes r;                                                              \
    for (int i = 0; i < kParts; ++i) r.part[i] = a.part[i] op b.part[i];  \
    return r;                                                             \
  }
  ACCEL_LANES_OPERATOR(+)
  ACCEL_LANES_OPERATOR(-)
  ACCEL_LANES_OPERATOR(*)
  ACCEL_LANES_OPERATOR(/)
  ACCEL_LANES_OPERATOR(&)
  ACCEL_LANES_OPERATOR(|)
#undef ACCEL_LANES_OPERATOR

  friend ACCEL_INLINE Lanes operator>>(const Lanes& a, int bits) {
    Lanes r;
    for (int i = 0; i < kParts; ++i) r.part[i] = a.part[i] >> bits;
    return r;
  }
  friend ACCEL_INLINE Lanes operator<<(const Lanes& a, int bits) {
    Lanes r;
    for (int i = 0; i < kParts; ++i) r.part[i] = a.part[i] << bits;
    return r;
  }
  friend ACCEL_INLINE Lanes operator~(const Lanes& a) {
    Lanes r;
    for (int i = 0; i < kParts; ++i) r.part[i] = ~a.part[i];
    return r;
  }
};

typedef Lanes<std::uint16_t, 32> U16x32;
typedef Lanes<std::uint32_t, 16> U32x16;
typedef Lanes<std::int32_t, 16> I32x16;

struct PortableOps {
  // --- 32 lanes of 16 bits ---
  typedef U16x32 Mask;

  static ACCEL_INLINE Mask at_least(const U16x32& a, const U16x32& b) {
    return a.at_least(b);  // all values are below 1 << 15
  }
  static ACCEL_INLINE U16x32 select(const Mask& mask, const U16x32& yes, const U16x32& no) {
    return (mask & yes) | (~mask & no);
  }
  static ACCEL_INLINE U16x32 add_if(const Mask& mask, std::uint16_t value, const U16x32& sum) {
    return sum + (mask & U16x32::all(value));
  }
  static ACCEL_INLINE U16x32 narrow(const U32x16 (&wide)[2]) {
    std::uint32_t from[kLanes];
    std::uint16_t to[kLanes];
    std::memcpy(from, wide, sizeof from);
    for (int i = 0; i < kLanes; ++i) to[i] = static_cast<std::uint16_t>(from[i]);
    return U16x32::load(to);
  }
  static ACCEL_INLINE void widen(const U16x32& narrow, U32x16 (&wide)[2]) {
    std::uint16_t from[kLanes];
    std::uint32_t to[kLanes];
    narrow.store(from);
    for (int i = 0; i < kLanes; ++i) to[i] = from[i];
    std::memcpy(wide, to, sizeof to);
  }
  static ACCEL_INLINE void store_symbols(const U16x32& symbols, std::uint8_t* to) {
    std::uint16_t from[kLanes];
    symbols.store(from);
    for (int i = 0; i < kLanes; ++i) to[i] = static_cast<std::uint8_t>(from[i]);
  }
  // How many of 16 ascending values are at most `slot`; the first is.
  static ACCEL_INLINE unsigned count_at_most(const std::uint16_t* values, std::uint16_t slot) {
    typedef std::int16_t Eight __attribute__((vector_size(16)));
    const Eight limit = Eight{} + static_cast<std::int16_t>(slot);
    const Eight n = -((load_as<Eight>(values) <= limit) + (load_as<Eight>(values + 8) <= limit));
    std::uint64_t sums[2];
    std::memcpy(sums, &n, sizeof sums);
    // Eight counts of 0 to 2: their sum arrives in the highest 16 bits.
    return static_cast<unsigned>((sums[0] + sums[1]) * 0x0001000100010001u >> 48);
  }

  // --- 16 lanes of 32 bits ---
  // x / y rounded down, or one less; it is below 1 << 18 and y below 1 << 15. Floats have 24 bits:
  // three roundings together are less than what kBelowOne takes off, and that is less than 1.
  static constexpr float kBelowOne = 1.0f - 1.0f / (1 << 21);
  static ACCEL_INLINE U32x16 divide(const U32x16& x, const U32x16& y) {
    typedef typename I32x16::Part Ints;
    typedef typename Lanes<float, 16>::Part Floats;
    U32x16 q;
    for (int i = 0; i < U32x16::kParts; ++i) {
      const Floats high = __builtin_convertvector((Ints)(x.part[i] >> 16), Floats);
      const Floats low = __builtin_convertvector((Ints)(x.part[i] & 0xFFFFu), Floats);
      const Floats inverse = kBelowOne / __builtin_convertvector((Ints)y.part[i], Floats);
      q.part[i] = (typename U32x16::Part)__builtin_convertvector(
          (high * 65536.0f + low) * inverse, Ints);
    }
    return q;
  }
  static ACCEL_INLINE void load_symbols(const std::uint8_t* from, std::uint8_t most,
                                        U32x16 (&symbols)[2]) {
    std::uint8_t clipped[kLanes];
    std::uint32_t wide[kLanes];
    for (int i = 0; i < kLanes; ++i) clipped[i] = std::min(from[i], most);
    for (int i = 0; i < kLanes; ++i) wide[i] = clipped[i];
    std::memcpy(symbols, wide, sizeof wide);
  }
  // Each lane's start (low half) and end (high half): the 32 bits at model[index].
  static ACCEL_INLINE U32x16 look_up(const std::uint16_t* model, const U32x16& index) {
    constexpr int kPer = kVectorBytes / 4;
    std::uint32_t at[16];
    index.store(at);
    U32x16 pair;
    for (int p = 0; p < U32x16::kParts; ++p) {
      typename U32x16::Part values{};
      for (int i = 0; i < kPer; ++i) values[i] = load_as<std::uint32_t>(model + at[p * kPer + i]);
      pair.part[p] = values;
    }
    return pair;
  }
  // Full lanes give their low word away; the words go below `to`, in lane order.
  static ACCEL_INLINE std::uint16_t* give(std::uint16_t* to, U32x16& x, const U32x16& frequency) {
    const U32x16 full = (x >> (32 - kScaleBits)).at_least(frequency);
    std::uint32_t values[16], gives[16];
    x.store(values);
    full.store(gives);
    for (int i = 15; i >= 0; --i) {
      to[-1] = static_cast<std::uint16_t>(values[i]);
      to -= gives[i] & 1;
    }
    x = (full & (x >> 16)) | (~full & x);
    return to;
  }
  // Low lanes take a word each, in lane order. Up to 16 words at `from` are read.
  static ACCEL_INLINE const std::uint8_t* take(const std::uint8_t* from, U32x16& x) {
    constexpr int kPer = kVectorBytes / 4;
    const U32x16 low = U32x16::all(0).at_least(x >> 16);
    std::uint32_t takes[16];
    low.store(takes);
    for (int p = 0; p < U32x16::kParts; ++p) {
      typename U32x16::Part words{};
      for (int i = 0; i < kPer; ++i) {
        words[i] = load_as<std::uint16_t>(from);
        from += takes[p * kPer + i] & 2;
      }
      const auto set = low.part[p];
      x.part[p] = (set & (x.part[p] << 16 | words)) | (~set & x.part[p]);
    }
    return from;
  }
};
