// Quantising with a scale for each token, or for each group of its channels: row by row.
#include <algorithm>

#include "../runtime/parallel.hpp"
#include "coding.hpp"
#include "elements.hpp"
#include "scale.hpp"
#include "split.hpp"

namespace accel_cpu::quantize {
namespace {

using numeric::rows;

constexpr auto kWidth = static_cast<std::int64_t>(kStage);

class RowQuantizer {
 public:
  explicit RowQuantizer(const Problem& problem) : p_(problem), whole_(whole_groups(problem)) {}

  void run(const Walk& row) {
    if (p_.channels.extent == 0) {  // a token without channels still has a scale
      *scales_ = 1.0f;
      *offsets_ = 0.0f;
      write_scales(row, 0, 1);
    } else if (whole_ > 0) {
      by_whole_groups(row);
    } else {
      by_parts(row);
    }
  }

 private:
  // Channels in whole groups that a tile takes, a whole number of bytes of packed codes; 0 if none.
  static std::int64_t whole_groups(const Problem& problem) {
    const std::int64_t size = problem.group();
    std::int64_t groups = size == 0 ? 0 : kWidth / size;
    if (problem.spec.is_packed() && size % 2 != 0) groups -= groups % 2;
    return groups * size;
  }

  // Every value is read once.
  void by_whole_groups(const Walk& row) {
    const auto size = static_cast<std::size_t>(p_.group());
    for (std::int64_t first = 0; first < p_.channels.extent; first += whole_) {
      const auto n = static_cast<std::size_t>(std::min(whole_, p_.channels.extent - first));
      const float* x = load(row, first, n);
      find_ranges(x, n / size, size);
      scales_of(p_.spec, low_, high_, n / size, scales_, offsets_);
      write_scales(row, first / p_.group(), n / size);
      store(row, first, n, x, size);
    }
  }

  // As many groups at once as the row loops take.
  void find_ranges(const float* x, std::size_t groups, std::size_t size) {
    const std::size_t most = std::max<std::size_t>(numeric::kTile / size, 1);
    for (std::size_t g = 0; g < groups; g += most) {
      rows().range_groups(x + g * size, std::min(most, groups - g), size, low_ + g, high_ + g);
    }
  }

  // Groups wider than a tile: first the ranges, then the codes.
  void by_parts(const Walk& row) {
    const std::int64_t channels = p_.channels.extent, size = p_.group();
    for (std::int64_t start = 0, group = 0; start < channels; start += size, ++group) {
      Range range;
      for (std::int64_t first = start; first < start + size; first += kWidth) {
        const auto n = static_cast<std::size_t>(std::min(kWidth, start + size - first));
        rows().range(load(row, first, n), n, &range.low, &range.high);
      }
      scales_of(p_.spec, &range.low, &range.high, 1, scales_, offsets_);
      write_scales(row, group, 1);
    }
    for (std::int64_t first = 0; first < channels; first += kWidth) {
      const auto n = static_cast<std::size_t>(std::min(kWidth, channels - first));
      const float* x = load(row, first, n);
      const std::int64_t begin = first / size;
      const std::int64_t end = (first + static_cast<std::int64_t>(n) - 1) / size;
      for (std::int64_t g = begin; g <= end; ++g) {
        scales_[g - begin] = read_float(row.at(kScales) + g * p_.channels.step[kScales]);
        if (!p_.spec.symmetric) {
          offsets_[g - begin] = read_float(row.at(kOffsets) + g * p_.channels.step[kOffsets]);
        }
      }
      store(row, first, n, x, static_cast<std::size_t>((begin + 1) * size - first));
    }
  }

  const float* load(const Walk& row, std::int64_t first, std::size_t n) {
    const std::int64_t step = p_.channels.step[kValues];
    return load_values(p_.values, row.at(kValues) + first * step, step, n, tile_);
  }

  void write_scales(const Walk& row, std::int64_t first, std::size_t n) {
    const auto& steps = p_.channels.step;
    write_floats(scales_, n, row.at(kScales) + first * steps[kScales], steps[kScales]);
    if (p_.spec.symmetric) return;
    write_floats(offsets_, n, row.at(kOffsets) + first * steps[kOffsets], steps[kOffsets]);
  }

  // `left` channels belong to the first group in scales_ and offsets_.
  void store(const Walk& row, std::int64_t first, std::size_t n, const float* x,
             std::size_t left) {
    const std::int64_t step = p_.channels.step[kCodes];
    char* const to = row.at(kCodes) + code_offset(p_.spec, first, step);
    std::uint8_t* const codes = place_codes(p_.spec, to, step, codes_);
    const float* const offsets = p_.spec.symmetric ? nullptr : offsets_;
    encode(p_.spec, x, n, {scales_, offsets, static_cast<std::size_t>(p_.group()), left}, tile_,
           codes);
    store_codes(p_.spec, codes, n, to, step);
  }

  const Problem& p_;
  const std::int64_t whole_;
  alignas(64) float tile_[kStage], low_[kStage], high_[kStage], scales_[kStage], offsets_[kStage];
  alignas(64) std::uint8_t codes_[kStage];
};

}  // namespace

void quantize_by_token(const Problem& problem) {
  if (problem.channels.extent == 0 && problem.spec.axis == Axis::Group) return;  // no groups
  const std::vector<Dim> dims = row_dims(problem);
  const std::int64_t count = problem.outer_count() * problem.tokens.extent;
  parallel_for(static_cast<std::size_t>(count), rows_of_grain(problem),
               [&](std::size_t begin, std::size_t end) {
                 RowQuantizer quantizer(problem);
                 Walk walk(dims, problem.base, static_cast<std::int64_t>(begin));
                 for (std::size_t i = begin; i < end; ++i, walk.next()) quantizer.run(walk);
               });
}

}  // namespace accel_cpu::quantize
