#include "reduce.hpp"

#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>

#include "accel_sim/ranks/dtypes.hpp"
#include "accel_sim/ranks/failure.hpp"

namespace accel_ranks {
namespace {

float bits_to_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::uint32_t float_to_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

struct Half {
  std::uint16_t bits;

  float widen() const {
    const std::uint32_t sign = (bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t fraction = bits & 0x3ffu;
    if (exponent == 0) {  // zero or subnormal: fraction * 2^-24 is exact in float32
      const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
      return sign != 0 ? -magnitude : magnitude;
    }
    if (exponent == 31) return bits_to_float(sign | 0x7f800000u | (fraction << 13));
    return bits_to_float(sign | ((exponent + 112) << 23) | (fraction << 13));
  }

  static Half narrow(float value) {  // to nearest, ties to even
    const std::uint32_t bits = float_to_bits(value);
    const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
    if (magnitude >= 0x47800000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};
    if (magnitude < 0x38800000u) {  // below 2^-14: a multiple of 2^-24
      const float scaled = bits_to_float(magnitude) * 0x1p24f;
      return {
          static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(scaled)))};
    }
    const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
  }
};

struct Bfloat16 {
  std::uint16_t bits;

  float widen() const { return bits_to_float(static_cast<std::uint32_t>(bits) << 16); }

  static Bfloat16 narrow(float value) {
    const std::uint32_t bits = float_to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
      return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
    }
    return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
  }
};

template <typename T>
constexpr bool kIsSixteenBitFloat = std::is_same_v<T, Half> || std::is_same_v<T, Bfloat16>;

template <typename A>
A combine(Reduction op, A left, A right) {
  if constexpr (std::is_floating_point_v<A>) {
    if (op == Reduction::sum) return left + right;
    if (op == Reduction::prod) return left * right;
    if (std::isnan(left)) return left;
    if (std::isnan(right)) return right;
  } else {
    using Unsigned = std::make_unsigned_t<A>;
    using Wide = std::conditional_t<sizeof(A) < 4, std::uint32_t, Unsigned>;  // no int promotion
    const Wide a = static_cast<Unsigned>(left);
    const Wide b = static_cast<Unsigned>(right);
    if (op == Reduction::sum) return static_cast<A>(static_cast<Unsigned>(a + b));
    if (op == Reduction::prod) return static_cast<A>(static_cast<Unsigned>(a * b));
  }
  return op == Reduction::max ? (left < right ? right : left) : (right < left ? right : left);
}

template <typename T>
T load(const std::uint8_t* base, std::size_t index) {  // the buffer may be unaligned
  T value;
  std::memcpy(&value, base + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void reduce_as(Reduction op, const std::vector<const std::uint8_t*>& inputs,
               std::uint8_t* output, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    T result;
    if constexpr (kIsSixteenBitFloat<T>) {
      float sum = load<T>(inputs[0], i).widen();
      for (std::size_t rank = 1; rank < inputs.size(); ++rank) {
        sum = combine(op, sum, load<T>(inputs[rank], i).widen());
      }
      result = T::narrow(sum);
    } else {
      result = load<T>(inputs[0], i);
      for (std::size_t rank = 1; rank < inputs.size(); ++rank) {
        result = combine(op, result, load<T>(inputs[rank], i));
      }
    }
    std::memcpy(output + i * sizeof(T), &result, sizeof(T));
  }
}

}  // namespace

void reduce(Reduction op, DataType type, const std::vector<const std::uint8_t*>& inputs,
            std::uint8_t* output, std::size_t count) {
  switch (type) {
    case DataType::int8: return reduce_as<std::int8_t>(op, inputs, output, count);
    case DataType::int16: return reduce_as<std::int16_t>(op, inputs, output, count);
    case DataType::int32: return reduce_as<std::int32_t>(op, inputs, output, count);
    case DataType::int64: return reduce_as<std::int64_t>(op, inputs, output, count);
    case DataType::uint8: return reduce_as<std::uint8_t>(op, inputs, output, count);
    case DataType::uint16: return reduce_as<std::uint16_t>(op, inputs, output, count);
    case DataType::uint32: return reduce_as<std::uint32_t>(op, inputs, output, count);
    case DataType::uint64: return reduce_as<std::uint64_t>(op, inputs, output, count);
    case DataType::float16: return reduce_as<Half>(op, inputs, output, count);
    case DataType::bfloat16: return reduce_as<Bfloat16>(op, inputs, output, count);
    case DataType::float32: return reduce_as<float>(op, inputs, output, count);
    case DataType::float64: return reduce_as<double>(op, inputs, output, count);
    default:
      throw RankFailure(Problem::not_supported,
                        std::string("the simulator reduces no ") + type_name(type));
  }
}

}  // namespace accel_ranks
