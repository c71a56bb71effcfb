#include "elements.hpp"

namespace accel_cpu::quantize {
namespace {

using numeric::Kind;
using numeric::rows;

template <class Element>
void gather(const char* from, std::int64_t step, std::size_t n, void* to) {
  auto* target = static_cast<Element*>(to);
  for (std::size_t i = 0; i < n; ++i, from += step) std::memcpy(target + i, from, sizeof(Element));
}

template <class Element>
void scatter(const void* from, std::size_t n, char* to, std::int64_t step) {
  const auto* source = static_cast<const Element*>(from);
  for (std::size_t i = 0; i < n; ++i, to += step) std::memcpy(to, source + i, sizeof(Element));
}

// Side by side, and where the row loops may read them.
bool are_a_row(Kind kind, const char* at, std::int64_t step) {
  const auto size = numeric::size_of(kind);
  return step == static_cast<std::int64_t>(size) &&
         reinterpret_cast<std::uintptr_t>(at) % size == 0;
}

bool are_floats(Kind kind, const char* at, std::int64_t step) {
  return kind == Kind::F32 && are_a_row(kind, at, step);
}

bool are_bytes(const Spec& spec, std::int64_t step) { return !spec.is_packed() && step == 1; }

}  // namespace

const float* load_values(Kind kind, const char* from, std::int64_t step, std::size_t n,
                         float* buffer) {
  if (are_floats(kind, from, step)) return reinterpret_cast<const float*>(from);
  if (are_a_row(kind, from, step)) {
    rows().load[static_cast<int>(kind)](from, n, buffer);
  } else if (kind == Kind::F32) {
    gather<std::uint32_t>(from, step, n, buffer);
  } else {
    alignas(64) std::uint16_t tile[kStage];
    gather<std::uint16_t>(from, step, n, tile);
    rows().load[static_cast<int>(kind)](tile, n, buffer);
  }
  return buffer;
}

float* place_values(Kind kind, char* to, std::int64_t step, float* buffer) {
  return are_floats(kind, to, step) ? reinterpret_cast<float*>(to) : buffer;
}

void store_values(Kind kind, const float* from, std::size_t n, char* to, std::int64_t step) {
  if (reinterpret_cast<const char*>(from) == to) return;
  if (are_a_row(kind, to, step)) {
    rows().store[static_cast<int>(kind)](from, n, to);
  } else if (kind == Kind::F32) {
    scatter<std::uint32_t>(from, n, to, step);
  } else {
    alignas(64) std::uint16_t tile[kStage];
    rows().store[static_cast<int>(kind)](from, n, tile);
    scatter<std::uint16_t>(tile, n, to, step);
  }
}

const std::uint8_t* load_codes(const Spec& spec, const char* from, std::int64_t step, std::size_t n,
                               std::uint8_t* buffer) {
  const auto* codes = reinterpret_cast<const std::uint8_t*>(from);
  if (are_bytes(spec, step)) return codes;
  if (spec.is_packed()) {
    rows().unpack4(codes, n / 2, buffer);
  } else {
    gather<std::uint8_t>(from, step, n, buffer);
  }
  return buffer;
}

std::uint8_t* place_codes(const Spec& spec, char* to, std::int64_t step, std::uint8_t* buffer) {
  return are_bytes(spec, step) ? reinterpret_cast<std::uint8_t*>(to) : buffer;
}

void store_codes(const Spec& spec, const std::uint8_t* from, std::size_t n, char* to,
                 std::int64_t step) {
  if (are_bytes(spec, step)) return;  // made in place
  if (spec.is_packed()) {
    rows().pack4(from, n / 2, reinterpret_cast<std::uint8_t*>(to));
  } else {
    scatter<std::uint8_t>(from, n, to, step);
  }
}

}  // namespace accel_cpu::quantize
