// Repositioned keys against loops in double precision, on random shapes and strides whose buffers
// end where the payload ends: run under sanitizers, any access beyond a buffer is an error.
// Usage: rope_engine SEED ROUNDS
//
// The expectation decodes elements and walks every dimension itself; it shares only the struct
// definitions with the engine.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "rope/reposition.hpp"

using accel_cpu::numeric::Kind;
using accel_cpu::rope::Work;
using Random = std::mt19937_64;

namespace {

std::int64_t draw(Random& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

struct Format {
  int bits, exponent_bits;  // of the significand, without the hidden one
  std::int64_t bytes() const { return bits == 23 ? 4 : 2; }
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
};

Format format_of(Kind kind) {
  if (kind == Kind::F32) return {23, 8};
  return kind == Kind::F16 ? Format{10, 5} : Format{7, 8};
}

double decode(const Format& f, const std::uint8_t* at) {
  std::uint32_t u = 0;
  std::memcpy(&u, at, static_cast<std::size_t>(f.bytes()));
  const double sign = u >> (f.bits + f.exponent_bits) != 0 ? -1 : 1;
  const int exponent = static_cast<int>(u >> f.bits & ((1u << f.exponent_bits) - 1));
  const double fraction = std::ldexp(u & ((1u << f.bits) - 1), -f.bits);
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - f.bias());
  return sign * std::ldexp(1 + fraction, exponent - f.bias());
}

double last_place(const Format& f, double x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  return std::ldexp(1.0, std::max(exponent - 1, 1 - f.bias()) - f.bits);
}

// A random element of moderate size.
void encode(Random& random, const Format& f, std::uint8_t* at) {
  const auto sign = static_cast<std::uint32_t>(draw(random, 0, 1));
  const auto exponent = static_cast<std::uint32_t>(f.bias() + draw(random, -8, 6));
  const auto fraction = static_cast<std::uint32_t>(draw(random, 0, (1 << f.bits) - 1));
  const std::uint32_t u = (sign << f.exponent_bits | exponent) << f.bits | fraction;
  std::memcpy(at, &u, static_cast<std::size_t>(f.bytes()));
}

// Byte strides of nested dimensions laid out in a random order with random gaps.
std::vector<std::int64_t> lay_out(Random& random, const std::vector<std::int64_t>& extents,
                                  std::int64_t size, std::int64_t* span) {
  std::vector<std::size_t> order(extents.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // Often the innermost dimension last in memory, as it mostly is.
  if (draw(random, 0, 2) == 0) {
    std::shuffle(order.begin(), order.end(), random);
  } else {
    std::reverse(order.begin(), order.end());
  }
  std::vector<std::int64_t> strides(extents.size());
  *span = size;
  for (const std::size_t i : order) {
    strides[i] = *span + (draw(random, 0, 4) == 0 ? size * draw(random, 1, 40) : 0);
    *span += strides[i] * (extents[i] - 1);
  }
  return strides;
}

// A buffer in memory of its own, exactly as long as what is in it.
struct Buffer {
  std::unique_ptr<std::uint8_t[]> bytes;
  std::size_t size;
  explicit Buffer(std::int64_t n)
      : bytes(new std::uint8_t[static_cast<std::size_t>(n)]), size(static_cast<std::size_t>(n)) {}
};

struct Case {
  Work work;
  std::int64_t head_dim = 0, span = 0;
  std::vector<Buffer> layers;
  std::unique_ptr<Buffer> table;
};

Case make_case(Random& random) {
  Case c;
  Work& work = c.work;
  work.channels.kind = static_cast<Kind>(draw(random, 0, 2));
  const Format format = format_of(work.channels.kind);
  const std::int64_t size = format.bytes();
  const bool wide = draw(random, 0, 15) == 0;  // more than a tile
  const std::int64_t outer = draw(random, 0, 2) == 0 ? draw(random, 2, 6) : 1;
  const std::int64_t inner = outer > 1 ? draw(random, 2, 12) : draw(random, 2, wide ? 1400 : 150);
  c.head_dim = outer * inner;
  auto& channels = work.channels;
  channels.interleaved = draw(random, 0, 1) == 1;
  channels.pairs = draw(random, 0, 1) == 0 ? c.head_dim / 2 : draw(random, 1, c.head_dim / 2);
  channels.first = draw(random, 0, c.head_dim - 2 * channels.pairs);
  work.heads = draw(random, 1, 4);
  const std::int64_t tokens = draw(random, 1, wide ? 3 : 80), layers = draw(random, 1, 3);
  const auto strides = lay_out(random, {tokens, work.heads, outer, inner}, size, &c.span);
  work.head_stride = strides[1];
  channels.inner = inner;
  channels.outer_stride = outer > 1 ? strides[2] : 0;
  channels.stride = strides[3];
  for (std::int64_t i = 0; i < layers; ++i) {
    Buffer& buffer = c.layers.emplace_back(c.span);
    for (std::int64_t at = 0; at + size <= c.span; at += size) {
      encode(random, format, buffer.bytes.get() + at);
    }
    work.bases.push_back(reinterpret_cast<std::uintptr_t>(buffer.bytes.get()));
  }
  std::int64_t positions = std::int64_t{1} << 20;
  auto inv_freq = std::make_shared<std::vector<double>>();
  for (std::int64_t i = 0; i < channels.pairs; ++i) {
    inv_freq->push_back(std::pow(1e4, -static_cast<double>(i) / static_cast<double>(channels.pairs)));
  }
  work.inv_freq = inv_freq;
  if (draw(random, 0, 1) == 0) {
    positions = draw(random, 1, 50);
    work.table.kind = static_cast<Kind>(draw(random, 0, 2));
    const Format of_table = format_of(work.table.kind);
    std::int64_t span = 0;
    const auto steps = lay_out(random, {positions, 2 * channels.pairs}, of_table.bytes(), &span);
    c.table = std::make_unique<Buffer>(span);
    for (std::int64_t at = 0; at + of_table.bytes() <= span; at += of_table.bytes()) {
      encode(random, of_table, c.table->bytes.get() + at);
    }
    work.table.data = reinterpret_cast<const char*>(c.table->bytes.get());
    work.table.positions = positions;
    work.table.row_stride = steps[0];
    work.table.stride = steps[1];
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(tokens));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (draw(random, 0, 1) == 0) std::shuffle(order.begin(), order.end(), random);
  order.resize(static_cast<std::size_t>(draw(random, 0, tokens)));
  std::int64_t from = 0, to = 0;
  for (const std::int64_t t : order) {
    if (draw(random, 0, 2) != 0) {
      from = draw(random, 0, positions - 1);
      to = draw(random, 0, positions - 1);
    }
    work.tokens.push_back({t * strides[0], {from, to}});
  }
  return c;
}

void cos_sin(const Work& work, const accel_cpu::rope::Move& move, std::int64_t pair, double* c,
             double* s) {
  if (work.table.data == nullptr) {
    const double angle =
        static_cast<double>(move.to - move.from) * (*work.inv_freq)[static_cast<std::size_t>(pair)];
    *c = std::cos(angle);
    *s = std::sin(angle);
    return;
  }
  const Format format = format_of(work.table.kind);
  const auto at = [&](std::int64_t position, std::int64_t channel) {
    return decode(format, reinterpret_cast<const std::uint8_t*>(work.table.data) +
                              position * work.table.row_stride + channel * work.table.stride);
  };
  const std::int64_t pairs = work.channels.pairs;
  const double co = at(move.from, pair), so = at(move.from, pairs + pair);
  const double cn = at(move.to, pair), sn = at(move.to, pairs + pair);
  *c = (cn * co + sn * so) / (co * co + so * so);
  *s = (sn * co - cn * so) / (co * co + so * so);
}

// Compares all layers with what `before` holds; puts the turned channels into `before`.
bool check(const Case& c, std::vector<Buffer>& before) {
  const Work& work = c.work;
  const auto& channels = work.channels;
  const Format format = format_of(channels.kind);
  const auto place = [&](std::int64_t channel) {
    const std::int64_t d = channels.first + channel;
    return d / channels.inner * channels.outer_stride + d % channels.inner * channels.stride;
  };
  for (std::size_t layer = 0; layer < c.layers.size(); ++layer) {
    std::uint8_t *have = c.layers[layer].bytes.get(), *was = before[layer].bytes.get();
    for (const auto& token : work.tokens) {
      for (std::int64_t h = 0; h < work.heads; ++h) {
        for (std::int64_t p = 0; p < channels.pairs; ++p) {
          const std::int64_t head = token.offset + h * work.head_stride;
          const std::int64_t x = head + place(channels.interleaved ? 2 * p : p);
          const std::int64_t y =
              head + place(channels.interleaved ? 2 * p + 1 : p + channels.pairs);
          const double a = decode(format, was + x), b = decode(format, was + y);
          double cosine = 0, sine = 0;
          cos_sin(work, token.move, p, &cosine, &sine);
          const double want[2] = {a * cosine - b * sine, a * sine + b * cosine};
          const double length = std::hypot(want[0], want[1]);
          const std::int64_t at[2] = {x, y};
          for (int i = 0; i < 2; ++i) {
            const double got = decode(format, have + at[i]);
            const double off = std::max(last_place(format, want[i]), std::ldexp(length, -22));
            const double largest = std::ldexp(2.0, format.bias()) * (1 - std::ldexp(0.5, -format.bits));
            if (std::fabs(want[i]) < largest && !(std::fabs(got - want[i]) <= off)) return false;
            std::memcpy(was + at[i], have + at[i], static_cast<std::size_t>(format.bytes()));
          }
        }
      }
    }
    if (std::memcmp(have, was, static_cast<std::size_t>(c.span)) != 0) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const long rounds = argc > 2 ? std::atol(argv[2]) : 1000;
  static const char* const sets[] = {"portable", "avx2", "avx512"};
  for (long round = 0; round < rounds; ++round) {
    Random random(seed * 1000003 + static_cast<std::uint64_t>(round));
    accel_cpu::numeric::use_rows(sets[draw(random, 0, 2)]);
    const Case c = make_case(random);
    std::vector<Buffer> before;
    for (const Buffer& layer : c.layers) {
      std::copy_n(layer.bytes.get(), layer.size, before.emplace_back(c.span).bytes.get());
    }
    accel_cpu::rope::set_parallel_bytes(draw(random, 0, 1) == 0 ? 0 : INT64_MAX);
    accel_cpu::rope::reposition(c.work);
    if (!check(c, before)) {
      std::printf("wrong result: seed %llu round %ld\n", static_cast<unsigned long long>(seed),
                  round);
      return 1;
    }
  }
  std::printf("%ld rounds\n", rounds);
  return 0;
}
