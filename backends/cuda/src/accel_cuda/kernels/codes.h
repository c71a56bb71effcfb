/* Values to codes and back, and the scale of a range: accel.providers.KVQuantize, bit for bit.
 *
 * Defines: ACCEL_VALUE, ACCEL_CODE, number kinds; ACCEL_SHIFTED, whether there are offsets. */
#ifndef ACCEL_CUDA_CODES_H
#define ACCEL_CUDA_CODES_H

#include "numbers.h"
#include "quantize_args.h"
#include "quotient.h"

#ifndef ACCEL_VALUE
#define ACCEL_VALUE ACCEL_BF16
#endif
#ifndef ACCEL_CODE
#define ACCEL_CODE ACCEL_I8
#endif
#ifndef ACCEL_SHIFTED
#define ACCEL_SHIFTED 0
#endif

namespace accel_codes {

constexpr int kValue = ACCEL_VALUE, kCode = ACCEL_CODE;
constexpr bool kShifted = ACCEL_SHIFTED != 0;
constexpr bool kPacked = kCode == ACCEL_I4;
constexpr bool kFloat = kCode == ACCEL_E4M3 || kCode == ACCEL_E5M2;
constexpr unsigned kValueSize = accel_number<kValue>::size;
constexpr unsigned kPerWord = accel_number<kValue>::per_word;

/* Bytes of the codes of so many channels. */
constexpr unsigned code_bytes(unsigned channels) {
  return kPacked ? (channels + 1) / 2 : channels;
}

struct Scale {
  float scale = 1.0f, offset = 0.0f, reciprocal = 1.0f;
  float rest = 0.0f; /* what the reciprocal lacks; NaN unless encode_fast may be used */
};

ACCEL_DEVICE bool is_fast(const Scale& s) { return s.rest == s.rest; }

constexpr float kLargest = 0x1.fffffep127f;
ACCEL_DEVICE float infinity() { return accel_of_bits(0x7F800000u); }

/* The finite values seen: none yet. `low` is not used when symmetric, where high is of |x|. */
struct Range {
  float low, high;
};
ACCEL_DEVICE Range nothing() {
  return kShifted ? Range{infinity(), -infinity()} : Range{0.0f, 0.0f};
}
ACCEL_DEVICE Range joined(const Range& a, const Range& b) {
  return {accel_min(a.low, b.low), accel_max(a.high, b.high)};
}
ACCEL_DEVICE bool is_finite(float x) { return (accel_bits_of(x) & 0x7F800000u) != 0x7F800000u; }

ACCEL_DEVICE Range with_finite(const Range& range, float x) {
  if (!is_finite(x)) return range;
  const float size = kShifted ? x : accel_of_bits(accel_bits_of(x) & 0x7FFFFFFFu);
  return joined(range, {size, size});
}

ACCEL_DEVICE Scale scale_of(const Range& range, float steps, bool finite) {
  Scale s;
  float width = range.high;
  if constexpr (kShifted) {
    s.offset = range.low > range.high || range.low == 0.0f ? 0.0f : range.low;
    const float difference = range.high - s.offset;
    width = difference < kLargest ? difference : kLargest;
  }
  const float wanted = width / steps;
  s.scale = wanted > 0.0f ? wanted : 1.0f;
  s.reciprocal = 1.0f / s.scale;
  s.rest = finite && accel_divides_fast(s.scale) ? accel_rest_of(s.scale, s.reciprocal)
                                                 : accel_of_bits(0x7FC00000u);
  return s;
}

/* The ranges of each channel of a word, over many words. Integers and pairs of halves do most of the
 * work; what was not finite shows in the end. */
struct WordRange {
  accel_u32 low, high;
  float low_f[kPerWord], high_f[kPerWord], poison[kPerWord];
};

ACCEL_DEVICE WordRange no_words() {
  WordRange r;
  r.low = r.high = 0;
  if (kShifted && kValue == ACCEL_BF16) r.low = 0x7F7F7F7Fu, r.high = 0xFF7FFF7Fu;
  if (kShifted && kValue == ACCEL_F16) r.low = 0x7BFF7BFFu, r.high = 0xFBFFFBFFu;
  ACCEL_UNROLL for (unsigned i = 0; i < kPerWord; ++i) {
    r.low_f[i] = infinity();
    r.high_f[i] = -infinity();
    r.poison[i] = 0.0f;
  }
  return r;
}

/* The larger of sizes without signs: of both halves, where the chip has that. */
ACCEL_DEVICE accel_u32 larger(accel_u32 a, accel_u32 b) {
#if ACCEL_PTX(900)
  if constexpr (kValueSize == 2) {
    asm("max.u16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
    return a;
  }
#endif
  return accel_max(a, b);
}

/* Whether ranges with offsets are of halves, NaN once a value was: kShifted alone. */
#if ACCEL_PTX(800)
constexpr bool kHalves = kValueSize == 2;
ACCEL_DEVICE void widen(accel_u32* low, accel_u32* high, accel_u32 other_low, accel_u32 other_high) {
  if constexpr (kValue == ACCEL_BF16) {
    asm("min.NaN.bf16x2 %0, %0, %1;" : "+r"(*low) : "r"(other_low));
    asm("max.NaN.bf16x2 %0, %0, %1;" : "+r"(*high) : "r"(other_high));
  } else {
    asm("min.NaN.f16x2 %0, %0, %1;" : "+r"(*low) : "r"(other_low));
    asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(*high) : "r"(other_high));
  }
}
#else
constexpr bool kHalves = false;
ACCEL_DEVICE void widen(accel_u32*, accel_u32*, accel_u32, accel_u32) {}
#endif

ACCEL_DEVICE void add_word(WordRange* r, accel_u32 word) {
  if constexpr (!kShifted) {
    if constexpr (kValueSize == 4) {
      r->high = larger(r->high, word & 0x7FFFFFFFu);
    } else {
#if ACCEL_PTX(900)
      r->high = larger(r->high, word & 0x7FFF7FFFu);
#else
      r->high = larger(r->high, word & 0x7FFF0000u);
      r->low = larger(r->low, word << 16 & 0x7FFF0000u);
#endif
    }
  } else if constexpr (kHalves) {
    widen(&r->low, &r->high, word, word);
  } else {
    float x[kPerWord];
    accel_unpack<kValue>(word, x);
    ACCEL_UNROLL for (unsigned i = 0; i < kPerWord; ++i) {
      r->low_f[i] = accel_min(r->low_f[i], x[i]);
      r->high_f[i] = accel_max(r->high_f[i], x[i]);
      r->poison[i] = accel_fma(x[i], 0.0f, r->poison[i]); /* NaN once x was infinite or NaN */
    }
  }
}

/* What a range consists of on this chip, as words. */
#if ACCEL_PTX(900)
constexpr bool kSizesApart = false;
#else
constexpr bool kSizesApart = kValueSize == 2;
#endif
constexpr unsigned kFields = kShifted ? (kHalves ? 2 : 3 * kPerWord) : kSizesApart ? 2 : 1;

struct RangeFields {
  accel_u32 at[kFields];
};

ACCEL_DEVICE RangeFields fields_of(const WordRange& r) {
  RangeFields f;
  if constexpr (!kShifted || kHalves) {
    f.at[0] = r.high;
    if constexpr (kFields == 2) f.at[1] = r.low;
  } else {
    ACCEL_UNROLL for (unsigned i = 0; i < kPerWord; ++i) {
      f.at[3 * i] = accel_bits_of(r.high_f[i]);
      f.at[3 * i + 1] = accel_bits_of(r.low_f[i]);
      f.at[3 * i + 2] = accel_bits_of(r.poison[i]);
    }
  }
  return f;
}

ACCEL_DEVICE WordRange of_fields(const RangeFields& f) {
  WordRange r = no_words();
  if constexpr (!kShifted || kHalves) {
    r.high = f.at[0];
    if constexpr (kFields == 2) r.low = f.at[1];
  } else {
    ACCEL_UNROLL for (unsigned i = 0; i < kPerWord; ++i) {
      r.high_f[i] = accel_of_bits(f.at[3 * i]);
      r.low_f[i] = accel_of_bits(f.at[3 * i + 1]);
      r.poison[i] = accel_of_bits(f.at[3 * i + 2]);
    }
  }
  return r;
}

ACCEL_DEVICE WordRange joined(const WordRange& a, const WordRange& b) {
  WordRange r = a;
  if constexpr (!kShifted) {
    r.high = larger(a.high, b.high);
    if constexpr (kSizesApart) r.low = larger(a.low, b.low);
  } else if constexpr (kHalves) {
    widen(&r.low, &r.high, b.low, b.high);
  } else {
    ACCEL_UNROLL for (unsigned i = 0; i < kPerWord; ++i) {
      r.low_f[i] = accel_min(a.low_f[i], b.low_f[i]);
      r.high_f[i] = accel_max(a.high_f[i], b.high_f[i]);
      r.poison[i] = a.poison[i] + b.poison[i];
    }
  }
  return r;
}

/* Of two ranges the lane keeps one, `b` if `upper`, and gets what the lane `apart` does not keep:
 * both joined. */
ACCEL_DEVICE WordRange traded(const WordRange& a, const WordRange& b, bool upper, accel_u32 apart) {
  const RangeFields fa = fields_of(a), fb = fields_of(b);
  RangeFields kept, got;
  ACCEL_UNROLL for (unsigned i = 0; i < kFields; ++i) {
    kept.at[i] = upper ? fb.at[i] : fa.at[i];
    got.at[i] = accel_shuffle_xor(upper ? fa.at[i] : fb.at[i], apart);
  }
  return joined(of_fields(kept), of_fields(got));
}

/* The ranges of the channels, with infinite `high` where any value was not finite. `some`: any word
 * was added. */
ACCEL_DEVICE void ranges_of(const WordRange& r, bool some, Range* ranges) {
  (void)some;
  if constexpr (!kShifted) {
    ACCEL_UNROLL for (unsigned i = 0; i < kPerWord; ++i) {
#if ACCEL_PTX(900)
      const accel_u32 bits = kValueSize == 4 || i == 1 ? r.high & (kValueSize == 4 ? ~0u : 0xFFFF0000u)
                                                       : r.high << 16;
#else
      const accel_u32 bits = kValueSize == 4 || i == 1 ? r.high : r.low;
#endif
      if constexpr (kValue == ACCEL_F16) {
        const float size = accel_from_f16((accel_u16)(bits >> 16));
        ranges[i] = {0.0f, bits >= 0x7C000000u ? infinity() : size};
      } else {
        ranges[i] = {0.0f, bits >= 0x7F800000u ? infinity() : accel_of_bits(bits)};
      }
    }
  } else {
    float low[kPerWord], high[kPerWord];
    bool finite[kPerWord];
    ACCEL_UNROLL for (unsigned i = 0; i < kPerWord; ++i) {
      low[i] = r.low_f[i];
      high[i] = r.high_f[i];
      finite[i] = r.poison[i] == 0.0f;
    }
    if constexpr (kHalves) {
      accel_unpack<kValue>(r.low, low);
      accel_unpack<kValue>(r.high, high);
      ACCEL_UNROLL for (unsigned i = 0; i < kPerWord; ++i) {
        finite[i] = is_finite(low[i]) && is_finite(high[i]);
      }
    }
    ACCEL_UNROLL for (unsigned i = 0; i < kPerWord; ++i) {
      ranges[i] = some ? Range{low[i], finite[i] ? high[i] : infinity()} : nothing();
    }
  }
}

/* Of all channels together. */
ACCEL_DEVICE Range range_of(const WordRange& r, bool some) {
  Range ranges[kPerWord];
  ranges_of(r, some, ranges);
  Range range = ranges[0];
  ACCEL_UNROLL for (unsigned i = 1; i < kPerWord; ++i) range = joined(range, ranges[i]);
  return range;
}

/* Whether the range is of finite values alone; that of none is. */
ACCEL_DEVICE bool all_finite(const Range& range) { return range.high < infinity(); }

ACCEL_DEVICE accel_u8 encode_one(float x, const Scale& s, const accel_quantize_spec& spec) {
  const float quotient = (kShifted ? x - s.offset : x) / s.scale;
  if constexpr (kCode == ACCEL_E4M3) return accel_to_e4m3(quotient);
  if constexpr (kCode == ACCEL_E5M2) return accel_to_e5m2(quotient);
  return (accel_u8)accel_to_code(quotient, spec.zero, spec.lowest, spec.highest);
}

/* Rounds to the integer in the low bits: adding it moves the point to the end of the significand. */
constexpr float kRounds = 12582912.0f;

/* Four integers to a word, each modulo 256. */
ACCEL_DEVICE accel_u32 low_bytes(accel_u32 a, accel_u32 b, accel_u32 c, accel_u32 d) {
  return accel_byte_permute(accel_byte_permute(a, b, 0x0040), accel_byte_permute(c, d, 0x0040),
                            0x5410);
}

/* Channels [0, N) of x to their codes, where all of their scales are fast: scale[i * Each] is that
 * of x[i]. Every quotient lies within the codes, so that nothing is left to saturate. */
template <unsigned N, unsigned Each>
ACCEL_DEVICE void encode_fast(const float* x, const Scale* scale, int zero, accel_u32* codes) {
  constexpr unsigned kWords = (code_bytes(N) + 3) / 4, kOf = kPacked ? 8 : 4;
  float q[kWords * kOf] = {};
  ACCEL_UNROLL for (unsigned i = 0; i < N; ++i) {
    const Scale& s = scale[i * Each];
    const float d = kShifted ? x[i] - s.offset : x[i];
    q[i] = kFloat ? accel_divide_by(d, s.scale, s.reciprocal)
                  : accel_multiply_by(d, s.reciprocal, s.rest);
  }
  if constexpr (kFloat) {
    ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) codes[w] = accel_pack<kCode>(q + 4 * w);
  } else {
    /* The zero of signed codes is an even number, which rounding to even may come after; that of
     * nibbles is made positive for as long as they are apart. */
    constexpr float kZero = kPacked ? (kShifted ? 0.0f : 8.0f) : kCode == ACCEL_I8 && kShifted ? -128.0f : 0.0f;
    constexpr bool kAdds = kCode == ACCEL_U8 && !kShifted;
    accel_u32 b[kWords * kOf];
    ACCEL_UNROLL for (unsigned i = 0; i < kWords * kOf; ++i) {
      b[i] = accel_bits_of(q[i] + (kRounds + kZero)) + (kAdds ? (accel_u32)zero : 0u);
    }
    ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) {
      const accel_u32* const c = b + w * kOf;
      if constexpr (kPacked) {
        codes[w] = low_bytes(c[0] + 16 * c[1], c[2] + 16 * c[3], c[4] + 16 * c[5],
                             c[6] + 16 * c[7]) ^ 0x88888888u;
      } else {
        codes[w] = low_bytes(c[0], c[1], c[2], c[3]);
      }
    }
  }
}

/* The same for any scales and values. */
template <unsigned N, unsigned Each>
ACCEL_DEVICE void encode_any(const float* x, const Scale* scale, const accel_quantize_spec& spec,
                             accel_u32* codes) {
  constexpr unsigned kWords = (code_bytes(N) + 3) / 4;
  ACCEL_UNROLL for (unsigned w = 0; w < kWords; ++w) codes[w] = 0;
  ACCEL_UNROLL for (unsigned i = 0; i < N; ++i) {
    const accel_u32 code = encode_one(x[i], scale[i * Each], spec);
    if constexpr (kPacked) {
      codes[i / 8] |= (code & 15u) << i % 8 * 4;
    } else {
      codes[i / 4] |= code << i % 4 * 8;
    }
  }
}

/* And back: (code - zero) * scale + offset, of N channels. */
template <unsigned N, unsigned Each>
ACCEL_DEVICE void decode(const accel_u32* codes, const float* scale, const float* offset, int zero,
                         float* x) {
  if constexpr (kFloat) {
    ACCEL_UNROLL for (unsigned i = 0; i < N; i += 4) {
      float four[4];
      accel_unpack<kCode>(codes[i / 4], four);
      ACCEL_UNROLL for (unsigned k = 0; k < 4 && i + k < N; ++k) x[i + k] = four[k];
    }
  } else {
    /* A code below the exponent of 2^23 is that many more than 2^23. */
    constexpr accel_u32 kSigns = kPacked ? 0x88888888u : kCode == ACCEL_I8 ? 0x80808080u : 0u;
    constexpr int kHalf = kPacked ? 8 : kCode == ACCEL_I8 ? 128 : 0;
    const float base = 8388608.0f + (float)(kHalf + zero);
    ACCEL_UNROLL for (unsigned i = 0; i < N; ++i) {
      accel_u32 bits;
      if constexpr (kPacked) {
        bits = ((codes[i / 8] ^ kSigns) >> i % 8 * 4 & 15u) | 0x4B000000u;
      } else {
        bits = accel_byte_permute(codes[i / 4] ^ kSigns, 0x4B000000u, 0x7650u + i % 4);
      }
      x[i] = accel_of_bits(bits) - base;
    }
  }
  ACCEL_UNROLL for (unsigned i = 0; i < N; ++i) {
    x[i] = x[i] * scale[i * Each];
    if constexpr (kShifted) x[i] = x[i] + offset[i * Each];
  }
}

/* Up to 8 bytes of codes, as many at once as `N` channels have. */
template <unsigned N>
ACCEL_DEVICE void store_codes(char* to, const accel_u32* codes) {
  constexpr unsigned kBytes = code_bytes(N);
  if constexpr (kBytes == 8) {
    accel_store((accel_u32x2*)to, accel_u32x2{codes[0], codes[1]});
  } else {
    accel_store((accel_vector<kBytes>*)to, (accel_vector<kBytes>)codes[0]);
  }
}

template <unsigned N>
ACCEL_DEVICE void load_codes(const char* from, accel_u32* codes) {
  constexpr unsigned kBytes = code_bytes(N);
  if constexpr (kBytes == 16) {
    const accel_u32x4 v = accel_load((const accel_u32x4*)from);
    codes[0] = v.x, codes[1] = v.y, codes[2] = v.z, codes[3] = v.w;
  } else if constexpr (kBytes == 8) {
    const accel_u32x2 v = accel_load((const accel_u32x2*)from);
    codes[0] = v.x, codes[1] = v.y;
  } else {
    codes[0] = accel_load((const accel_vector<kBytes>*)from);
  }
}

}  // namespace accel_codes

#endif
