#include "head.hpp"

#include <algorithm>
#include <cstring>

namespace accel_cpu::rope {
namespace {

constexpr auto kTile = static_cast<std::int64_t>(numeric::kTile);
// Channels further apart than this share no line.
constexpr std::int64_t kLine = 64;
// Rows that are gathered before the first is turned: well within L1, and enough for the short
// stores to have left the store buffer when vector loads ask for them.
constexpr std::int64_t kStagedBytes = 16 << 10;

// Four at a time: a third faster than one by one, however that is unrolled.
template <class Element>
void copy_elements(const char* from, std::int64_t from_stride, std::int64_t n, char* to,
                   std::int64_t to_stride) {
  constexpr std::size_t kSize = sizeof(Element);
  for (; n >= 4; n -= 4, from += 4 * from_stride, to += 4 * to_stride) {
    Element a, b, c, d;
    std::memcpy(&a, from, kSize);
    std::memcpy(&b, from + from_stride, kSize);
    std::memcpy(&c, from + 2 * from_stride, kSize);
    std::memcpy(&d, from + 3 * from_stride, kSize);
    std::memcpy(to, &a, kSize);
    std::memcpy(to + to_stride, &b, kSize);
    std::memcpy(to + 2 * to_stride, &c, kSize);
    std::memcpy(to + 3 * to_stride, &d, kSize);
  }
  for (; n > 0; --n, from += from_stride, to += to_stride) std::memcpy(to, from, kSize);
}

// n elements of `size` bytes, 2 or 4, between strides.
void copy_run(const char* from, std::int64_t from_stride, std::int64_t n, char* to,
              std::int64_t to_stride, std::int64_t size) {
  if (from_stride == size && to_stride == size) {
    if (n * size == 16) {  // a run of vectorised keys
      std::memcpy(to, from, 16);
    } else {
      std::memcpy(to, from, static_cast<std::size_t>(n * size));
    }
  } else if (size == 2) {
    copy_elements<std::uint16_t>(from, from_stride, n, to, to_stride);
  } else {
    copy_elements<std::uint32_t>(from, from_stride, n, to, to_stride);
  }
}

}  // namespace

HeadTurner::HeadTurner(const Channels& channels)
    : channels_(channels),
      rows_(numeric::rows()),
      load_(rows_.load[static_cast<int>(channels.kind)]),
      store_(rows_.store[static_cast<int>(channels.kind)]),
      is_float_(channels.kind == numeric::Kind::F32),
      size_(static_cast<std::int64_t>(numeric::size_of(channels.kind))) {
  const std::int64_t last = channels.first + 2 * channels.pairs - 1;
  start_ = channels_.offset_of(channels.first);
  const bool one_run = channels.first / channels.inner == last / channels.inner ||
                       channels.outer_stride == channels.inner * channels.stride;
  fits_ = 2 * channels.pairs <= kTile;
  by_token_ = one_run && channels.stride == size_ && (fits_ || is_float_);
}

void HeadTurner::turn_token(const Turned& first, std::int64_t count, std::int64_t step) const {
  if (is_float_) {
    in_place(first, count, step);
  } else {
    row_by_row(first, count, step);
  }
}

void HeadTurner::turn_heads(const Turned* heads, std::size_t n) const {
  if (fits_) {
    staged(heads, n);
  } else {
    for (std::size_t i = 0; i < n; ++i) in_parts(heads[i]);
  }
}

void HeadTurner::turn(float* tile, const float* c, const float* s, std::size_t pairs) const {
  if (channels_.interleaved) {
    rows_.rotate_pairs(tile, pairs, c, s);
  } else {
    rows_.rotate_halves(tile, tile + pairs, pairs, c, s);
  }
}

void HeadTurner::in_place(const Turned& first, std::int64_t count, std::int64_t step) const {
  const auto pairs = static_cast<std::size_t>(channels_.pairs);
  char* row = first.head + start_;
  for (std::int64_t i = 0; i < count; ++i, row += step) {
    turn(reinterpret_cast<float*>(row), first.c, first.s, pairs);
  }
}

void HeadTurner::row_by_row(const Turned& first, std::int64_t count, std::int64_t step) const {
  alignas(64) float tile[kTile];
  const auto pairs = static_cast<std::size_t>(channels_.pairs);
  const std::int64_t channels = 2 * channels_.pairs;
  // Whole heads side by side are one longer row to load and store.
  const std::int64_t most = step == channels * size_ ? kTile / channels : 1;
  char* row = first.head + start_;
  for (std::int64_t i = 0; i < count; i += most, row += most * step) {
    const std::int64_t some = std::min(most, count - i);
    const auto n = static_cast<std::size_t>(some * channels);
    load_(row, n, tile);
    for (std::int64_t h = 0; h < some; ++h) turn(tile + h * channels, first.c, first.s, pairs);
    store_(tile, n, row);
  }
}

void HeadTurner::staged(const Turned* heads, std::size_t n) const {
  alignas(64) char rows[kStagedBytes];
  alignas(64) float tile[kTile];
  const auto pairs = static_cast<std::size_t>(channels_.pairs);
  const std::size_t row = 2 * pairs * static_cast<std::size_t>(size_);
  const std::size_t most = static_cast<std::size_t>(kStagedBytes) / row;
  for (std::size_t begin = 0; begin < n; begin += most) {
    const Turned* some = heads + begin;
    const std::size_t count = std::min(most, n - begin);
    move_rows(some, count, rows, false);
    const std::size_t together = std::max<std::size_t>(1, numeric::kTile / (2 * pairs));
    for (std::size_t i = 0; i < count; i += together) {
      const std::size_t heads_now = std::min(together, count - i);
      float* floats = is_float_ ? reinterpret_cast<float*>(rows + i * row) : tile;
      if (!is_float_) load_(rows + i * row, heads_now * 2 * pairs, tile);
      for (std::size_t h = 0; h < heads_now; ++h) {
        turn(floats + h * 2 * pairs, some[i + h].c, some[i + h].s, pairs);
      }
      if (!is_float_) store_(tile, heads_now * 2 * pairs, rows + i * row);
    }
    move_rows(some, count, rows, true);
  }
}

// A head of more channels than a tile holds.
void HeadTurner::in_parts(const Turned& one) const {
  alignas(64) char row[kTile * sizeof(float)];
  alignas(64) float tile[kTile];
  for (std::int64_t begin = 0; begin < channels_.pairs; begin += kTile / 2) {
    const std::int64_t count = std::min(kTile / 2, channels_.pairs - begin);
    // Where the part's first and second half of channels start.
    const std::int64_t x = channels_.first + (channels_.interleaved ? 2 * begin : begin);
    const std::int64_t y = x + (channels_.interleaved ? count : channels_.pairs);
    move_row(one.head, x, count, row, false);
    move_row(one.head, y, count, row + count * size_, false);
    load_(row, static_cast<std::size_t>(2 * count), tile);
    turn(tile, one.c + begin, one.s + begin, static_cast<std::size_t>(count));
    store_(tile, static_cast<std::size_t>(2 * count), row);
    move_row(one.head, x, count, row, true);
    move_row(one.head, y, count, row + count * size_, true);
  }
}

// The rotated channels of heads into contiguous rows, or back.
void HeadTurner::move_rows(const Turned* heads, std::size_t n, char* rows, bool back) const {
  const std::int64_t row = 2 * channels_.pairs * size_;
  if (channels_.stride < kLine) {
    for (std::size_t i = 0; i < n; ++i, rows += row) {
      move_row(heads[i].head, channels_.first, 2 * channels_.pairs, rows, back);
    }
    return;
  }
  // Channel by channel, so that a line is fetched once for all the tokens that share it.
  for (std::int64_t channel = 0; channel < 2 * channels_.pairs; ++channel, rows += size_) {
    const std::int64_t at = channels_.offset_of(channels_.first + channel);
    char* in_row = rows;
    for (std::size_t i = 0; i < n; ++i, in_row += row) {
      char* in_head = heads[i].head + at;
      if (size_ == 2) {
        std::memcpy(back ? in_head : in_row, back ? in_row : in_head, 2);
      } else {
        std::memcpy(back ? in_head : in_row, back ? in_row : in_head, 4);
      }
    }
  }
}

// Channels [channel, channel + n) of a head into a contiguous row, or back.
void HeadTurner::move_row(char* head, std::int64_t channel, std::int64_t n, char* row,
                          bool back) const {
  const std::int64_t stride = channels_.stride;
  for (std::int64_t done = 0; done < n;) {
    const std::int64_t left = channels_.inner - (channel + done) % channels_.inner;
    const std::int64_t run = std::min(left, n - done);
    char* in_head = head + channels_.offset_of(channel + done);
    char* in_row = row + done * size_;
    if (back) {
      copy_run(in_row, size_, run, in_head, stride, size_);
    } else {
      copy_run(in_head, stride, run, in_row, size_, size_);
    }
    done += run;
  }
}

}  // namespace accel_cpu::rope
