#include "turns.hpp"

#include <algorithm>
#include <cmath>

namespace accel_cpu::rope {
namespace {

constexpr std::size_t kChunk = numeric::kTile / 4;

// Beyond this the row kernel says nothing; only scalings that quicken rotations get there.
constexpr double kLargestAngle = 2147483648.0;  // 2^31

void load_row(const Table& table, const char* row, std::int64_t channel, std::size_t n, float* to) {
  const auto load = numeric::rows().load[static_cast<int>(table.kind)];
  const char* from = row + channel * table.stride;
  if (table.stride == static_cast<std::int64_t>(numeric::size_of(table.kind))) {
    load(from, n, to);
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {
    load(from + static_cast<std::int64_t>(i) * table.stride, 1, to + i);
  }
}

}  // namespace

void Turns::compute(const Move& move, std::size_t n, float* c, float* s) const {
  if (table_.data != nullptr) {
    from_table(move, n, c, s);
  } else {
    from_angles(static_cast<double>(move.to - move.from), n, c, s);
  }
}

void Turns::from_angles(double delta, std::size_t n, float* c, float* s) const {
  const std::vector<double>& inv_freq = *inv_freq_;
  double angle[kChunk];
  for (std::size_t begin = 0; begin < n; begin += kChunk) {
    const std::size_t count = std::min(kChunk, n - begin);
    double largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      angle[i] = delta * inv_freq[begin + i];
      largest = std::max(largest, std::fabs(angle[i]));
    }
    if (largest <= kLargestAngle) {
      numeric::rows().cos_sin(angle, count, c + begin, s + begin);
      continue;
    }
    for (std::size_t i = 0; i < count; ++i) {
      c[begin + i] = static_cast<float>(std::cos(angle[i]));
      s[begin + i] = static_cast<float>(std::sin(angle[i]));
    }
  }
}

void Turns::from_table(const Move& move, std::size_t n, float* c, float* s) const {
  const auto pairs = static_cast<std::int64_t>(n);
  const char* before = table_.data + move.from * table_.row_stride;
  const char* after = table_.data + move.to * table_.row_stride;
  float c_old[kChunk], s_old[kChunk], c_new[kChunk], s_new[kChunk];
  for (std::size_t begin = 0; begin < n; begin += kChunk) {
    const std::size_t count = std::min(kChunk, n - begin);
    const auto at = static_cast<std::int64_t>(begin);
    load_row(table_, before, at, count, c_old);
    load_row(table_, before, pairs + at, count, s_old);
    load_row(table_, after, at, count, c_new);
    load_row(table_, after, pairs + at, count, s_new);
    for (std::size_t i = 0; i < count; ++i) {
      const double co = c_old[i], so = s_old[i], cn = c_new[i], sn = s_new[i];
      const double over = 1.0 / (co * co + so * so);
      c[begin + i] = static_cast<float>((cn * co + sn * so) * over);
      s[begin + i] = static_cast<float>((sn * co - cn * so) * over);
    }
  }
}

}  // namespace accel_cpu::rope
