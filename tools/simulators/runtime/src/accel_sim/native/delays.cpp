#include "delays.hpp"

#include <cstdlib>

#include "accel_sim/modes.hpp"

namespace accel_sim {
namespace {

// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
std::uint64_t mixed(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15ull;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
  return value ^ (value >> 31);
}

std::uint64_t rank() {
  static const std::uint64_t value = [] {
    const char* text = std::getenv("RANK");
    return text ? std::strtoull(text, nullptr, 10) : 0ull;
  }();
  return value;
}

}  // namespace

std::uint32_t delay_us(int stream, std::uint64_t number) {
  const std::uint32_t limit = modes().delay_us;
  if (limit == 0) return 0;
  const std::uint64_t row = rank() << 32 | static_cast<std::uint32_t>(stream);
  const std::uint64_t where = mixed(modes().seed ^ mixed(row));
  // Half of the operations run at once: a race shows when one of two streams is late, not both.
  const std::uint64_t drawn = mixed(where ^ number);
  return drawn & 1 ? 0 : static_cast<std::uint32_t>((drawn >> 1) % (limit + 1ull));
}

}  // namespace accel_sim
