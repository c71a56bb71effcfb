#include "elements.hpp"

namespace accel_cpu::quantize {
namespace {

using numeric::Kind;
using numeric::kTile;
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

Kind float_kind(const Spec& spec) { return spec.code == Code::E4M3 ? Kind::E4M3 : Kind::E5M2; }

}  // namespace

void load_values(Kind kind, const char* from, std::int64_t step, std::size_t n, float* to) {
  const auto size = numeric::size_of(kind);
  if (step == static_cast<std::int64_t>(size)) {
    rows().load[static_cast<int>(kind)](from, n, to);
  } else if (size == 4) {
    gather<std::uint32_t>(from, step, n, to);
  } else {
    alignas(64) std::uint16_t tile[kTile];
    gather<std::uint16_t>(from, step, n, tile);
    rows().load[static_cast<int>(kind)](tile, n, to);
  }
}

void store_values(Kind kind, const float* from, std::size_t n, char* to, std::int64_t step) {
  const auto size = numeric::size_of(kind);
  if (step == static_cast<std::int64_t>(size)) {
    rows().store[static_cast<int>(kind)](from, n, to);
  } else if (size == 4) {
    scatter<std::uint32_t>(from, n, to, step);
  } else {
    alignas(64) std::uint16_t tile[kTile];
    rows().store[static_cast<int>(kind)](from, n, tile);
    scatter<std::uint16_t>(tile, n, to, step);
  }
}

void load_codes(const Spec& spec, const char* from, std::int64_t step, std::size_t n, float* to) {
  alignas(64) std::uint8_t tile[kTile];
  const auto* codes = reinterpret_cast<const std::uint8_t*>(from);
  if (spec.is_packed()) {
    rows().unpack4(codes, n / 2, tile);
    codes = tile;
  } else if (step != 1) {
    gather<std::uint8_t>(from, step, n, tile);
    codes = tile;
  }
  if (spec.is_float()) {
    rows().load[static_cast<int>(float_kind(spec))](codes, n, to);
  } else {
    rows().load_codes(codes, n, spec.code != Code::U8, spec.zero, to);
  }
}

void store_codes(const Spec& spec, const float* from, std::size_t n, char* to, std::int64_t step) {
  alignas(64) std::uint8_t tile[kTile];
  const bool direct = !spec.is_packed() && step == 1;
  auto* codes = direct ? reinterpret_cast<std::uint8_t*>(to) : tile;
  if (spec.is_float()) {
    rows().store[static_cast<int>(float_kind(spec))](from, n, codes);
  } else {
    rows().store_codes(from, n, spec.zero, spec.lowest, spec.highest, codes);
  }
  if (direct) return;
  if (spec.is_packed()) {
    rows().pack4(tile, n / 2, reinterpret_cast<std::uint8_t*>(to));
  } else {
    scatter<std::uint8_t>(tile, n, to, step);
  }
}

const float* float_row(const char* from, std::int64_t step, std::size_t n, float* buffer) {
  const bool usable = step == sizeof(float) &&
                      reinterpret_cast<std::uintptr_t>(from) % alignof(float) == 0;
  if (usable) return reinterpret_cast<const float*>(from);
  gather<std::uint32_t>(from, step, n, buffer);
  return buffer;
}

}  // namespace accel_cpu::quantize
