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
      size_(static_cast<std::int64_t>(numeric::size_of(channels.kind))) {
  const std::int64_t last = channels.first + 2 * channels.pairs - 1;
  start_ = channels_.offset_of(channels.first);
  const bool one_run = channels.first / channels.inner == last / channels.inner ||
                       channels.outer_stride == channels.inner * channels.stride;
  contiguous_ = one_run && channels.stride == size_;
  if (contiguous_ && channels.kind == numeric::Kind::F32) {
    way_ = &HeadTurner::in_place;
  } else if (2 * channels.pairs > kTile) {
    way_ = &HeadTurner::in_parts;
  } else {
    way_ = contiguous_ ? &HeadTurner::by_row : &HeadTurner::staged;
  }
}

void HeadTurner::turn(float* tile, const float* c, const float* s, std::size_t pairs) const {
  if (channels_.interleaved) {
    rows_.rotate_pairs(tile, pairs, c, s);
  } else {
    rows_.rotate_halves(tile, tile + pairs, pairs, c, s);
  }
}

// `from` and `to` may be the same.
void HeadTurner::turn_row(const void* from, const float* c, const float* s, std::size_t pairs,
                          void* to) const {
  alignas(64) float tile[kTile];
  rows_.load[static_cast<int>(channels_.kind)](from, 2 * pairs, tile);
  turn(tile, c, s, pairs);
  rows_.store[static_cast<int>(channels_.kind)](tile, 2 * pairs, to);
}

void HeadTurner::in_place(const Turned* heads, std::size_t n) const {
  for (std::size_t i = 0; i < n; ++i) {
    turn(reinterpret_cast<float*>(heads[i].head + start_), heads[i].c, heads[i].s,
         static_cast<std::size_t>(channels_.pairs));
  }
}

void HeadTurner::by_row(const Turned* heads, std::size_t n) const {
  for (std::size_t i = 0; i < n; ++i) {
    char* row = heads[i].head + start_;
    turn_row(row, heads[i].c, heads[i].s, static_cast<std::size_t>(channels_.pairs), row);
  }
}

void HeadTurner::staged(const Turned* heads, std::size_t n) const {
  alignas(64) char rows[kStagedBytes];
  const auto pairs = static_cast<std::size_t>(channels_.pairs);
  const std::size_t row = 2 * pairs * static_cast<std::size_t>(size_);
  const std::size_t most = static_cast<std::size_t>(kStagedBytes) / row;
  for (std::size_t begin = 0; begin < n; begin += most) {
    const Turned* some = heads + begin;
    const std::size_t count = std::min(most, n - begin);
    move_rows(some, count, rows, false);
    for (std::size_t i = 0; i < count; ++i) {
      char* at = rows + i * row;
      if (channels_.kind == numeric::Kind::F32) {
        turn(reinterpret_cast<float*>(at), some[i].c, some[i].s, pairs);
      } else {
        turn_row(at, some[i].c, some[i].s, pairs, at);
      }
    }
    move_rows(some, count, rows, true);
  }
}

// Heads of more channels than a tile holds.
void HeadTurner::in_parts(const Turned* heads, std::size_t n) const {
  alignas(64) float part[kTile];
  char* row = reinterpret_cast<char*>(part);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::int64_t begin = 0; begin < channels_.pairs; begin += kTile / 2) {
      const std::int64_t count = std::min(kTile / 2, channels_.pairs - begin);
      // Where the part's first and second half of channels start.
      const std::int64_t x = channels_.first + (channels_.interleaved ? 2 * begin : begin);
      const std::int64_t y = x + (channels_.interleaved ? count : channels_.pairs);
      for (const bool back : {false, true}) {
        if (back) {
          turn_row(part, heads[i].c + begin, heads[i].s + begin, static_cast<std::size_t>(count),
                   part);
        }
        move_row(heads[i].head, x, count, row, back);
        move_row(heads[i].head, y, count, row + count * size_, back);
      }
    }
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
