// Vectors of 16 and 32 lanes, and what each instruction set adds to them. Included by lanes_*.cpp,
// inside an unnamed namespace: every one of them compiles its own copy, for its own processor.
//
// GCC and Clang lower these vectors to whatever registers there are; PortableOps is all that is
// needed. The other sets override what compilers do not find by themselves.

typedef std::uint8_t U8x32 __attribute__((vector_size(32)));
typedef std::uint16_t U16x32 __attribute__((vector_size(64)));
typedef std::int16_t I16x32 __attribute__((vector_size(64)));
typedef std::uint16_t U16x16 __attribute__((vector_size(32)));
typedef std::uint32_t U32x16 __attribute__((vector_size(64)));
typedef std::int32_t I32x16 __attribute__((vector_size(64)));
typedef float F32x16 __attribute__((vector_size(64)));

constexpr int kScaleBits = ACCEL_CODEC_SCALE_BITS;
constexpr std::uint16_t kScale = ACCEL_CODEC_SCALE;

#define ACCEL_INLINE inline __attribute__((always_inline))

template <class T>
ACCEL_INLINE T load_as(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

struct PortableOps {
  // --- 32 lanes of 16 bits ---
  typedef I16x32 Mask;

  static ACCEL_INLINE void at_least(const U16x32& a, const U16x32& b, Mask& result) {
    result = (I16x32)a >= (I16x32)b;  // all values are below 1 << 15
  }
  static ACCEL_INLINE void select(const Mask& mask, const U16x32& yes, const U16x32& no,
                                  U16x32& result) {
    result = ((U16x32)mask & yes) | (~(U16x32)mask & no);
  }
  static ACCEL_INLINE void add_if(const Mask& mask, std::uint16_t value, U16x32& sum) {
    sum += (U16x32)mask & value;
  }
  static ACCEL_INLINE void narrow(const U32x16 (&wide)[2], U16x32& result) {
    for (int i = 0; i < kLanes; ++i) result[i] = static_cast<std::uint16_t>(wide[i / 16][i % 16]);
  }
  static ACCEL_INLINE void widen(const U16x32& from, U32x16 (&wide)[2]) {
    for (int h = 0; h < 2; ++h) {
      U16x16 half;
      std::memcpy(&half, reinterpret_cast<const char*>(&from) + h * 32, 32);
      wide[h] = __builtin_convertvector(half, U32x16);
    }
  }
  static ACCEL_INLINE void store_symbols(const U16x32& symbols, std::uint8_t* to) {
    const U8x32 bytes = __builtin_convertvector(symbols, U8x32);
    std::memcpy(to, &bytes, sizeof bytes);
  }
  // How many of 16 ascending values are at most `slot`.
  static ACCEL_INLINE unsigned count_at_most(const std::uint16_t* values, std::uint16_t slot) {
    unsigned n = 0;
    for (int i = 0; i < 16; ++i) n += values[i] <= slot;
    return n;
  }

  // --- 16 lanes of 32 bits ---
  static ACCEL_INLINE void to_float(const U32x16& x, F32x16& result) {
    const I32x16 high = (I32x16)(x >> 16), low = (I32x16)(x & 0xFFFFu);
    result = __builtin_convertvector(high, F32x16) * 65536.0f + __builtin_convertvector(low, F32x16);
  }
  static ACCEL_INLINE void load_symbols(const std::uint8_t* from, std::uint8_t most,
                                        U32x16 (&symbols)[2]) {
    for (int i = 0; i < kLanes; ++i) symbols[i / 16][i % 16] = from[i] < most ? from[i] : most;
  }
  // Each lane's start (low half) and end (high half): the 32 bits at model[index[lane]].
  static ACCEL_INLINE void look_up(const std::uint16_t* model, const U32x16& index, U32x16& pair) {
    for (int i = 0; i < 16; ++i) pair[i] = load_as<std::uint32_t>(model + index[i]);
  }
  // Full lanes give their low word away; the words go below `to`, in lane order.
  static ACCEL_INLINE std::uint16_t* give(std::uint16_t* to, U32x16& x, const U32x16& frequency) {
    for (int i = 15; i >= 0; --i) {
      const std::uint32_t v = x[i];
      const bool full = accel_codec_is_full(v, frequency[i]);
      to[-1] = static_cast<std::uint16_t>(v);
      to -= full;
      x[i] = full ? v >> 16 : v;
    }
    return to;
  }
  // Low lanes take a word each, in lane order. Up to 16 words at `from` are read.
  static ACCEL_INLINE const std::uint8_t* take(const std::uint8_t* from, U32x16& x) {
    for (int i = 0; i < 16; ++i) {
      const std::uint32_t v = x[i];
      const bool low = accel_codec_is_low(v);
      x[i] = low ? v << 16 | load_as<std::uint16_t>(from) : v;
      from += low * 2;
    }
    return from;
  }
};
