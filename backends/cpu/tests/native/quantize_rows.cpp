// Quantising and back, and the row loops under it, against one-element-at-a-time arithmetic on
// random problems whose buffers end where the operands end: run under sanitizers, any access beyond
// is an error. Usage: quantize_rows SEED ROUNDS
//
// The expectation finds every element by its own index arithmetic and rounds with nearbyintf.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "numeric/rows.hpp"
#include "quantize/problem.hpp"

namespace q = accel_cpu::quantize;
namespace numeric = accel_cpu::numeric;
using Bytes = std::vector<char>;
using Random = std::mt19937_64;

namespace {

std::int64_t draw(Random& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

template <class T>
T read(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

struct Case {
  q::Problem problem;
  std::vector<std::int64_t> extents;  // outer..., tokens, channels (of values)
  std::vector<std::int64_t> steps[q::kOperands];  // bytes, as the extents; 0 where shared
  std::unique_ptr<Bytes> memory[q::kOperands];
  std::int64_t groups = 1;  // channels that share a scale
};

// Bytes of one element of each operand.
std::int64_t size_of(const Case& c, int which) {
  if (which == q::kCodes) return 1;
  return which == q::kValues ? static_cast<std::int64_t>(numeric::size_of(c.problem.values)) : 4;
}

// Lays out operand `which`, whose own extents are `own`, in a random order with random gaps.
void lay_out(Random& random, Case* c, int which, std::vector<std::int64_t> own, bool side_by_side) {
  std::vector<std::size_t> order(own.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = order.size() - 1 - i;
  if (!side_by_side && draw(random, 0, 3) == 0) std::shuffle(order.begin(), order.end(), random);
  std::int64_t step = size_of(*c, which);
  c->steps[which].assign(own.size(), 0);
  for (std::size_t at = 0; at < order.size(); ++at) {
    const bool gap = !(side_by_side && at == 0) && draw(random, 0, 4) == 0;
    if (gap) step += size_of(*c, which) * draw(random, 1, 4);
    c->steps[which][order[at]] = own[order[at]] > 0 ? step : 0;
    step *= own[order[at]] > 0 ? own[order[at]] : 1;
  }
  std::int64_t bytes = size_of(*c, which);
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (own[i] == 0) bytes = 0;
    bytes += bytes > 0 ? (own[i] - 1) * c->steps[which][i] : 0;
  }
  const std::int64_t odd = draw(random, 0, 1) * draw(random, 0, 70);  // off its alignment
  c->memory[which] = std::make_unique<Bytes>(static_cast<std::size_t>(bytes + odd));
  c->problem.base[which] = c->memory[which]->data() + odd;
}

Case make_case(Random& random) {
  Case c;
  q::Spec& spec = c.problem.spec;
  spec.code = static_cast<q::Code>(draw(random, 0, 4));
  spec.axis = static_cast<q::Axis>(draw(random, 0, 2));
  spec.symmetric = spec.is_float() || draw(random, 0, 1) == 0;
  const int bits = spec.code == q::Code::I4 ? 4 : 8;
  if (spec.is_float()) {
    spec.steps = spec.code == q::Code::E4M3 ? 448.0f : 57344.0f;
  } else if (spec.code == q::Code::U8) {
    const int bins = static_cast<int>(draw(random, 3, 256));
    const int half = (bins - 1) / 2;
    spec.zero = spec.symmetric ? half : 0;
    spec.highest = spec.symmetric ? 2 * half : bins - 1;
    spec.steps = static_cast<float>(spec.symmetric ? half : bins - 1);
  } else {
    spec.highest = (1 << (bits - 1)) - 1;
    spec.lowest = spec.symmetric ? -spec.highest : -spec.highest - 1;
    spec.zero = spec.symmetric ? 0 : spec.lowest;
    spec.steps = static_cast<float>(spec.highest - spec.zero);
  }
  c.problem.values = static_cast<numeric::Kind>(draw(random, 0, 2));
  for (std::int64_t i = draw(random, 0, 2); i > 0; --i) c.extents.push_back(draw(random, 1, 3));
  static const std::int64_t widths[] = {0,  1,  2,   3,   8,   16,  17,   31,   64,  96,
                                        128, 200, 256, 500, 512, 700, 1024, 2050, 4100};
  std::int64_t channels = widths[draw(random, 0, std::size(widths) - 1)];
  const std::int64_t even = spec.is_packed() ? 2 : 1;
  channels -= channels % even;
  if (spec.axis == q::Axis::Group) {
    static const std::int64_t sizes[] = {1, 2, 3, 16, 32, 48, 64, 100, 129, 300, 515, 2100};
    spec.group_size = sizes[draw(random, 0, std::size(sizes) - 1)];
    std::int64_t count = draw(random, 0, spec.group_size > 300 ? 2 : 9);
    if (count * spec.group_size % even != 0) ++count;
    channels = count * spec.group_size;
  }
  const bool large = draw(random, 0, 30) == 0;
  c.extents.push_back(large ? draw(random, 100, 400) : draw(random, 0, 12));
  c.extents.push_back(channels);

  const std::size_t n = c.extents.size();
  std::vector<std::int64_t> own = c.extents;
  lay_out(random, &c, q::kValues, own, false);
  own[n - 1] = channels / even;
  lay_out(random, &c, q::kCodes, own, spec.is_packed());
  own = c.extents;
  if (spec.axis == q::Axis::Group) {
    own[n - 1] = channels / spec.group_size;
    c.groups = spec.group_size;
  } else {
    own.erase(own.end() - (spec.axis == q::Axis::Token ? 1 : 2));
    c.groups = spec.axis == q::Axis::Token ? (channels > 0 ? channels : 1) : 1;
  }
  for (int w : {q::kScales, q::kOffsets}) {
    lay_out(random, &c, w, own, false);
    // As if all had the values' axes.
    if (spec.axis == q::Axis::Token) c.steps[w].push_back(0);
    if (spec.axis == q::Axis::Channel) c.steps[w].insert(c.steps[w].end() - 1, 0);
  }

  std::vector<q::Dim> outer(n - 2);
  for (int w = 0; w < q::kOperands; ++w) {
    for (std::size_t d = 0; d + 2 < n; ++d) {
      outer[d].extent = c.extents[d];
      outer[d].step[w] = c.steps[w][d];
    }
    c.problem.tokens.step[w] = c.steps[w][n - 2];
    c.problem.channels.step[w] = c.steps[w][n - 1];
  }
  c.problem.tokens.extent = c.extents[n - 2];
  c.problem.channels.extent = channels;
  c.problem.outer = q::merged(outer);
  return c;
}

float value_of(Random& random) {
  switch (draw(random, 0, 12)) {
    case 0:
      return std::numeric_limits<float>::quiet_NaN();
    case 1:
      return draw(random, 0, 1) == 0 ? HUGE_VALF : -HUGE_VALF;
    case 2:
      return draw(random, 0, 1) == 0 ? 0.0f : -0.0f;
    case 3:
      return std::ldexp(static_cast<float>(draw(random, -999, 999)),
                        static_cast<int>(draw(random, -148, 110)));
    default:
      return static_cast<float>(draw(random, -100000, 100000)) / 4096.0f;
  }
}

const numeric::RowKernels& plain() { return *numeric::portable_rows(); }

// The address of an operand's element, by index in `at`; packed codes: of its byte.
char* place(const Case& c, int which, const std::vector<std::int64_t>& at) {
  char* address = c.problem.base[which];
  for (std::size_t d = 0; d + 1 < at.size(); ++d) address += at[d] * c.steps[which][d];
  std::int64_t last = at.back();
  if (which == q::kCodes && c.problem.spec.is_packed()) last /= 2;
  if (which >= q::kScales) last /= c.groups;
  return address + last * c.steps[which].back();
}

template <class Body>
void for_all(const Case& c, Body body) {
  for (const auto n : c.extents) {
    if (n == 0) return;
  }
  std::vector<std::int64_t> at(c.extents.size());
  for (;;) {
    body(at);
    std::size_t d = at.size();
    while (d > 0 && ++at[d - 1] == c.extents[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

float load_value(const Case& c, const std::vector<std::int64_t>& at) {
  float x;
  alignas(4) char aligned[4];
  std::memcpy(aligned, place(c, q::kValues, at), static_cast<std::size_t>(size_of(c, q::kValues)));
  plain().load[static_cast<int>(c.problem.values)](aligned, 1, &x);
  return x;
}

int code_at(const Case& c, const std::vector<std::int64_t>& at) {
  const auto byte = read<std::uint8_t>(place(c, q::kCodes, at));
  if (c.problem.spec.code == q::Code::U8) return byte;
  if (!c.problem.spec.is_packed()) return static_cast<std::int8_t>(byte);
  const int nibble = at.back() % 2 == 0 ? byte & 15 : byte >> 4;
  return nibble < 8 ? nibble : nibble - 16;
}

bool equal(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

// Codes for the scales that quantize wrote, and scales for the ranges found one by one.
bool quantized_right(const Case& c) {
  const q::Spec& spec = c.problem.spec;
  bool good = true;
  // Ranges live where the scales do: in copies of their memory.
  Bytes low(*c.memory[q::kScales]), high(*c.memory[q::kScales]);
  const auto slot = [&](Bytes& bytes, const std::vector<std::int64_t>& at) {
    return bytes.data() + (place(c, q::kScales, at) - c.memory[q::kScales]->data());
  };
  const auto put = [](char* to, float x) { std::memcpy(to, &x, sizeof x); };
  for_all(c, [&](const auto& at) {
    put(slot(low, at), HUGE_VALF);
    put(slot(high, at), -HUGE_VALF);
  });
  for_all(c, [&](const auto& at) {
    const float x = load_value(c, at);
    if (!std::isfinite(x)) return;
    put(slot(low, at), std::fmin(read<float>(slot(low, at)), x));
    put(slot(high, at), std::fmax(read<float>(slot(high, at)), x));
  });
  for_all(c, [&](const auto& at) {
    float least = read<float>(slot(low, at)), most = read<float>(slot(high, at));
    if (least > most) least = most = 0.0f;
    float offset = 0.0f, width = std::fmax(std::fabs(least), std::fabs(most));
    if (!spec.symmetric) {
      offset = least == 0.0f ? 0.0f : least;
      width = std::fmin(most - offset, std::numeric_limits<float>::max());
      good = good && equal(read<float>(place(c, q::kOffsets, at)), offset);
    }
    float scale = width / spec.steps;
    if (!(scale > 0.0f)) scale = 1.0f;
    good = good && equal(read<float>(place(c, q::kScales, at)), scale);
    float x = load_value(c, at);
    if (!spec.symmetric) x = x - offset;
    x = x / scale;
    if (spec.is_float()) {
      std::uint8_t code;
      const auto kind = spec.code == q::Code::E4M3 ? numeric::Kind::E4M3 : numeric::Kind::E5M2;
      plain().store[static_cast<int>(kind)](&x, 1, &code);
      good = good && code == read<std::uint8_t>(place(c, q::kCodes, at));
    } else {
      float near = std::isnan(x) ? 0.0f : std::nearbyintf(std::fmin(std::fmax(x, -999.f), 999.f));
      near = std::fmin(std::fmax(near + static_cast<float>(spec.zero),
                                 static_cast<float>(spec.lowest)),
                       static_cast<float>(spec.highest));
      good = good && code_at(c, at) == static_cast<int>(near);
    }
  });
  return good;
}

bool dequantized_right(const Case& c) {
  const q::Spec& spec = c.problem.spec;
  bool good = true;
  for_all(c, [&](const auto& at) {
    float x;
    if (spec.is_float()) {
      const auto kind = spec.code == q::Code::E4M3 ? numeric::Kind::E4M3 : numeric::Kind::E5M2;
      plain().load[static_cast<int>(kind)](place(c, q::kCodes, at), 1, &x);
    } else {
      x = static_cast<float>(code_at(c, at) - spec.zero);
    }
    x = x * read<float>(place(c, q::kScales, at));
    if (!spec.symmetric) x = x + read<float>(place(c, q::kOffsets, at));
    alignas(4) char rounded[4];
    plain().store[static_cast<int>(c.problem.values)](&x, 1, rounded);
    plain().load[static_cast<int>(c.problem.values)](rounded, 1, &x);
    good = good && equal(load_value(c, at), x);
  });
  return good;
}

void fill(Random& random, Case* c, int which) {
  for_all(*c, [&](const auto& at) {
    const float x = value_of(random);
    char* const to = place(*c, which, at);
    if (which == q::kCodes) {
      *to = static_cast<char>(draw(random, 0, 255));
    } else if (which == q::kValues) {
      alignas(4) char aligned[4];
      plain().store[static_cast<int>(c->problem.values)](&x, 1, aligned);
      std::memcpy(to, aligned, static_cast<std::size_t>(size_of(*c, which)));
    } else {
      std::memcpy(to, &x, sizeof x);
    }
  });
}

// Every float16, and floats of every exponent, through the conversions of this set of loops.
bool conversions_agree(Random& random) {
  const auto& rows = numeric::rows();
  std::vector<std::uint16_t> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  std::vector<float> got(halves.size()), wanted(halves.size());
  bool good = true;
  for (const auto kind : {numeric::Kind::F16, numeric::Kind::BF16}) {
    rows.load[static_cast<int>(kind)](halves.data(), halves.size(), got.data());
    plain().load[static_cast<int>(kind)](halves.data(), halves.size(), wanted.data());
    for (std::size_t i = 0; i < got.size(); ++i) good = good && equal(got[i], wanted[i]);
  }
  for (auto& x : got) {
    const auto bits = static_cast<std::uint32_t>(random());
    std::memcpy(&x, &bits, sizeof x);
  }
  for (int kind = 0; kind < 3; ++kind) {
    std::vector<char> a(got.size() * 4), b(got.size() * 4);
    rows.store[kind](got.data(), got.size(), a.data());
    plain().store[kind](got.data(), got.size(), b.data());
    std::vector<float> x(got.size()), y(got.size());
    plain().load[kind](a.data(), x.size(), x.data());
    plain().load[kind](b.data(), y.size(), y.data());
    for (std::size_t i = 0; i < x.size(); ++i) good = good && equal(x[i], y[i]);
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const long rounds = argc > 2 ? std::atol(argv[2]) : 1000;
  const char* const names[] = {"avx512", "avx2", "portable"};
  const auto fail = [seed](const char* what, const char* name, long round) {
    std::printf("%s, %s: seed %llu round %ld\n", what, name, static_cast<unsigned long long>(seed),
                round);
    return 1;
  };
  for (const char* name : names) {
    Random random(seed);
    if (numeric::use_rows(name) && !conversions_agree(random)) return fail("conversions", name, 0);
  }
  for (long round = 0; round < rounds; ++round) {
    Random random(seed * 1000003 + static_cast<std::uint64_t>(round));
    const char* name = names[round % 3];
    if (!numeric::use_rows(name)) continue;
    Case c = make_case(random);
    fill(random, &c, q::kValues);
    q::quantize(c.problem);
    if (!quantized_right(c)) return fail("wrong codes", name, round);
    if (round % 2 == 0) {
      for (int w : {q::kCodes, q::kScales, q::kOffsets}) fill(random, &c, w);
    }
    q::dequantize(c.problem);
    if (!dequantized_right(c)) return fail("wrong values", name, round);
  }
  std::printf("%ld rounds\n", rounds);
  return 0;
}
