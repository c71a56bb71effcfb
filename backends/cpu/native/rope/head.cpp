#include "head.hpp"

#include <algorithm>
#include <cstring>

namespace accel_cpu::rope {
namespace {

constexpr auto kTile = static_cast<std::int64_t>(numeric::kTile);

// The bytes of channels [channel, channel + n) between a head and a contiguous row, in runs of the
// same address step: `copy(head_bytes, row_bytes, elements)`.
template <class Copy>
void each_run(const Channels& at, std::int64_t channel, std::int64_t n, std::int64_t size,
              Copy&& copy) {
  std::int64_t done = 0;
  while (done < n) {
    const std::int64_t outer = (channel + done) / at.inner, inner = (channel + done) % at.inner;
    const std::int64_t run = std::min(at.inner - inner, n - done);
    copy(outer * at.outer_stride + inner * at.stride, done * size, run);
    done += run;
  }
}

template <std::size_t size>
void gather(const char* from, std::int64_t stride, std::int64_t n, char* to) {
  for (std::int64_t i = 0; i < n; ++i) std::memcpy(to + i * size, from + i * stride, size);
}

template <std::size_t size>
void scatter(const char* from, std::int64_t n, std::int64_t stride, char* to) {
  for (std::int64_t i = 0; i < n; ++i) std::memcpy(to + i * stride, from + i * size, size);
}

}  // namespace

HeadTurner::HeadTurner(const Channels& channels)
    : channels_(channels),
      rows_(numeric::rows()),
      size_(static_cast<std::int64_t>(numeric::size_of(channels.kind))) {
  const std::int64_t last = channels.first + 2 * channels.pairs - 1;
  const bool one_run = channels.first / channels.inner == last / channels.inner ||
                       channels.outer_stride == channels.inner * channels.stride;
  contiguous_ = one_run && channels.stride == size_;
  if (contiguous_ && channels.kind == numeric::Kind::F32) {
    way_ = &HeadTurner::in_place;
  } else if (2 * channels.pairs <= kTile) {
    way_ = &HeadTurner::whole;
  } else {
    way_ = &HeadTurner::in_parts;
  }
}

void HeadTurner::turn(float* tile, const float* c, const float* s, std::size_t pairs) const {
  if (channels_.interleaved) {
    rows_.rotate_pairs(tile, pairs, c, s);
  } else {
    rows_.rotate_halves(tile, tile + pairs, pairs, c, s);
  }
}

void HeadTurner::in_place(char* head, std::int64_t count, std::int64_t step, const float* c,
                          const float* s) const {
  for (std::int64_t h = 0; h < count; ++h, head += step) {
    turn(reinterpret_cast<float*>(head + channels_.first * size_), c, s,
         static_cast<std::size_t>(channels_.pairs));
  }
}

void HeadTurner::whole(char* head, std::int64_t count, std::int64_t step, const float* c,
                       const float* s) const {
  alignas(64) float tile[kTile];
  const std::int64_t n = 2 * channels_.pairs;
  for (std::int64_t h = 0; h < count; ++h, head += step) {
    load(head, channels_.first, n, tile);
    turn(tile, c, s, static_cast<std::size_t>(channels_.pairs));
    store(tile, channels_.first, n, head);
  }
}

void HeadTurner::in_parts(char* head, std::int64_t count, std::int64_t step, const float* c,
                          const float* s) const {
  alignas(64) float tile[kTile];
  for (std::int64_t h = 0; h < count; ++h, head += step) {
    for (std::int64_t begin = 0; begin < channels_.pairs; begin += kTile / 2) {
      const std::int64_t n = std::min(kTile / 2, channels_.pairs - begin);
      // Where the chunk's first and second half of channels lie.
      std::int64_t x = channels_.first + begin, y = x + channels_.pairs;
      if (channels_.interleaved) {
        x += begin;
        y = x + n;
      }
      load(head, x, n, tile);
      load(head, y, n, tile + n);
      turn(tile, c + begin, s + begin, static_cast<std::size_t>(n));
      store(tile, x, n, head);
      store(tile + n, y, n, head);
    }
  }
}

void HeadTurner::load(const char* head, std::int64_t channel, std::int64_t n, float* to) const {
  const auto load_row = rows_.load[static_cast<int>(channels_.kind)];
  const auto count = static_cast<std::size_t>(n);
  if (contiguous_) {
    load_row(head + channel * size_, count, to);
    return;
  }
  alignas(64) char row[kTile * sizeof(float)];
  each_run(channels_, channel, n, size_, [&](std::int64_t at, std::int64_t to_at, std::int64_t run) {
    if (size_ == 2) {
      gather<2>(head + at, channels_.stride, run, row + to_at);
    } else {
      gather<4>(head + at, channels_.stride, run, row + to_at);
    }
  });
  load_row(row, count, to);
}

void HeadTurner::store(const float* from, std::int64_t channel, std::int64_t n, char* head) const {
  const auto store_row = rows_.store[static_cast<int>(channels_.kind)];
  const auto count = static_cast<std::size_t>(n);
  if (contiguous_) {
    store_row(from, count, head + channel * size_);
    return;
  }
  alignas(64) char row[kTile * sizeof(float)];
  store_row(from, count, row);
  each_run(channels_, channel, n, size_, [&](std::int64_t at, std::int64_t to_at, std::int64_t run) {
    if (size_ == 2) {
      scatter<2>(row + to_at, run, channels_.stride, head + at);
    } else {
      scatter<4>(row + to_at, run, channels_.stride, head + at);
    }
  });
}

}  // namespace accel_cpu::rope
