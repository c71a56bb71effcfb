// Vector operations on NRAM: operands are 128-byte aligned, and as long as multiples of 128 bytes.
#pragma once

#include "copies.hpp"

namespace accel_bang {

constexpr std::uint64_t kVector = 128;

namespace detail {

inline void check_vector(const char* name, const void* pointer, std::uint64_t bytes, bool write) {
  const auto address = reinterpret_cast<std::uint64_t>(pointer);
  if (space_of(address) != Space::Nram) broken("%s: an operand outside of NRAM", name);
  if (address % kVector != 0) {
    broken("%s: an operand at NRAM address %llu, which is no multiple of 128", name,
           static_cast<unsigned long long>(address -
                                           reinterpret_cast<std::uint64_t>(__start_accel_nram)));
  }
  if (bytes == 0 || bytes % kVector != 0) {
    broken("%s of %llu bytes, which is no multiple of 128", name,
           static_cast<unsigned long long>(bytes));
  }
  if (address + bytes > reinterpret_cast<std::uint64_t>(__stop_accel_nram)) {
    broken("%s: an operand that goes past the end of NRAM", name);
  }
  check_free({Space::Nram, address, 1, bytes, 0}, write, name);
}

}  // namespace detail

template <class T>
void __bang_write_value(T* dst, unsigned int elements, T value) {
  detail::check_vector("__bang_write_value", dst, elements * sizeof(T), true);
  for (unsigned int i = 0; i < elements; ++i) dst[i] = value;
}

}  // namespace accel_bang
