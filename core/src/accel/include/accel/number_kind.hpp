// The number formats of KV kernels. Standard library only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace accel {

// As accel/kv_number.h has them; U8 and Other have no conversions.
enum class NumberKind : int { F32, F16, BF16, E4M3, E5M2, I8, U8, Other };
constexpr int kNumberKinds = 6;

constexpr std::size_t size_of(NumberKind kind) {
  return kind == NumberKind::F32 ? 4 : kind == NumberKind::F16 || kind == NumberKind::BF16 ? 2 : 1;
}

// What values are before they are quantised.
constexpr bool is_value(NumberKind kind) { return static_cast<int>(kind) <= 2; }

// From torch's name without the prefix: "bfloat16". False when it is none that has conversions.
inline bool kind_from_name(const char* name, NumberKind* kind) {
  static constexpr const char* kNames[kNumberKinds] = {"float32",       "float16",     "bfloat16",
                                                       "float8_e4m3fn", "float8_e5m2", "int8"};
  for (int i = 0; i < kNumberKinds; ++i) {
    if (std::strcmp(name, kNames[i]) == 0) {
      *kind = static_cast<NumberKind>(i);
      return true;
    }
  }
  return false;
}

}  // namespace accel
