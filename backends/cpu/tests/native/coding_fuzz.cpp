// The entropy coder against random and damaged input.
//
//   coding_fuzz SECONDS SEED
//
// Each round makes symbols and a model, encodes and decodes them, and then decodes what was
// damaged: bytes changed, cut off, added or moved about; fields of the header and the directory set
// to awkward values; whole streams of random words; other models; no container at all. Half of the
// time all checks are made right again, so that the decoder itself meets the damage. Whatever
// comes, decode either refuses it or returns; with the checks left alone it refuses it and leaves
// the output as it was. Memory has its exact size, so that AddressSanitizer sees every stray access, and a watchdog
// aborts when a round does not end. Exits with 0 when all is right.

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "coding/coder.hpp"
#include "coding/lanes.hpp"
#include "runtime/fault.hpp"

using namespace accel_cpu;
using namespace accel_cpu::coding;

namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint64_t seed = 0, rounds = 0, refused = 0, passed = 0;
std::mt19937_64 random_bits;

std::uint64_t below(std::uint64_t n) { return random_bits() % n; }
bool one_in(std::uint64_t n) { return below(n) == 0; }

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "seed %llu, round %llu (%s): %s\n", static_cast<unsigned long long>(seed),
               static_cast<unsigned long long>(rounds), kernels().name, what);
  std::_Exit(1);
}

// Exactly as large as asked for, unlike a vector, and at an odd address now and then.
struct Exact {
  explicit Exact(const Bytes& from) : size(from.size()), shift(below(4) == 0 ? below(4) : 0) {
    memory.reset(new std::uint8_t[size + shift]);
    if (size != 0) std::memcpy(data(), from.data(), size);
  }
  std::uint8_t* data() const { return memory.get() + shift; }
  std::size_t size, shift;
  std::unique_ptr<std::uint8_t[]> memory;
};

struct Case {
  std::size_t layers, tokens, channels;
  std::uint32_t bins;
  Bytes symbols;
  std::vector<std::uint16_t> model;

  Symbols view(std::uint8_t* data) const {
    return {data, layers, tokens, channels, static_cast<std::ptrdiff_t>(tokens * channels),
            static_cast<std::ptrdiff_t>(channels)};
  }
};

std::size_t some_extent(std::size_t most) {
  return one_in(20) ? 0 : one_in(3) ? 1 + below(4) : 1 + below(most);
}

Case make_case() {
  static constexpr std::uint32_t kBins[] = {1,  2,  3,  4,  5,  8,   16, 17,
                                            32, 33, 64, 65, 128, 255, 256};
  Case c;
  c.layers = some_extent(3);
  c.tokens = one_in(8) ? below(3000) : some_extent(80);
  c.channels = some_extent(c.tokens > 100 ? 40 : 150);
  c.bins = kBins[below(sizeof kBins / sizeof *kBins)];
  c.symbols.resize(c.layers * c.tokens * c.channels);
  const std::uint32_t spread = 1 + static_cast<std::uint32_t>(below(c.bins));
  for (auto& s : c.symbols) s = static_cast<std::uint8_t>(below(1 + below(spread)));
  c.model.resize(c.layers * c.channels * (c.bins + 1));
  make_model(c.view(c.symbols.data()), c.bins, one_in(2), c.model.data());
  return c;
}

Bytes encode_case(Case& c) {
  Bytes out(packed_bound(accel_codec_choose_split(c.layers, c.tokens, c.channels)));
  const Exact exact(out);
  const std::size_t size =
      encode(c.view(c.symbols.data()), {c.model.data(), c.bins}, exact.data(), exact.size);
  return Bytes(exact.data(), exact.data() + size);
}

std::uint32_t check(const std::uint8_t* data, std::size_t units, std::uint32_t with) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < units; ++i) {
    std::uint32_t unit;
    std::memcpy(&unit, data + i * 4, 4);
    sum += accel_codec_mix(unit, static_cast<std::uint32_t>(i), with);
  }
  return sum;
}

std::uint64_t field(const Bytes& data, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  std::memcpy(&value, data.data() + at, size);
  return value;
}

void set_field(Bytes& data, std::size_t at, std::size_t size, std::uint64_t value) {
  if (at + size <= data.size()) std::memcpy(data.data() + at, &value, size);
}

// Makes the checks right, as far as the streams that the header tells of are there.
void repair(Bytes& data) {
  if (data.size() < 64) return;
  set_field(data, 48, 8, data.size());
  const std::uint64_t streams = field(data, 16, 8) * field(data, 40, 4) * field(data, 44, 4);
  if (streams <= (data.size() - 64) / 8) {
    const std::size_t payload = 64 + streams * 8;
    for (std::uint64_t i = 0; i < streams; ++i) {
      const std::uint64_t begin = payload + field(data, 64 + i * 8, 4) * 4;
      const std::uint64_t end =
          i + 1 < streams ? payload + field(data, 72 + i * 8, 4) * 4 : data.size();
      if (begin <= end && end <= data.size()) {
        set_field(data, 68 + i * 8, 4,
                  check(data.data() + begin, (end - begin) / 4,
                        static_cast<std::uint32_t>(ACCEL_CODEC_SEED_STREAM + i)));
      }
    }
    set_field(data, 56, 4, check(data.data() + 64, streams * 2, ACCEL_CODEC_SEED_DIRECTORY));
  }
  set_field(data, 60, 4, check(data.data(), 15, ACCEL_CODEC_SEED_HEADER));
}

std::uint64_t awkward() {
  static constexpr std::uint64_t kValues[] = {
      0, 1, 2, 31, 32, 33, 255, 256, 257, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
      std::uint64_t{1} << 32, std::uint64_t{1} << 61, ~std::uint64_t{0}};
  return kValues[below(sizeof kValues / sizeof *kValues)];
}

void damage(Bytes& data) {
  const auto random_byte = [] { return static_cast<std::uint8_t>(random_bits()); };
  switch (below(9)) {
    case 0:
      for (std::uint64_t n = 1 + below(4); n > 0; --n) {
        data[below(data.size())] ^= static_cast<std::uint8_t>(1u << below(8));
      }
      break;
    case 1:
      for (std::uint64_t n = 1 + below(16); n > 0; --n) data[below(data.size())] = random_byte();
      break;
    case 2: data.resize(below(data.size())); break;
    case 3:
      for (std::uint64_t n = 1 + below(64); n > 0; --n) {
        data.push_back(one_in(2) ? 0 : random_byte());
      }
      break;
    case 4: {  // a field of the header
      static constexpr std::size_t kFields[][2] = {{0, 4},  {4, 2},  {6, 1},  {7, 1},  {8, 4},
                                                   {12, 4}, {16, 8}, {24, 8}, {32, 8}, {40, 4},
                                                   {44, 4}, {48, 8}, {56, 4}, {60, 4}};
      const auto& f = kFields[below(14)];
      set_field(data, f[0], f[1],
                one_in(2) ? awkward() : field(data, f[0], f[1]) + below(5) - 2);
      break;
    }
    case 5: {  // an entry of the directory
      const std::size_t at = 64 + below(8) * 4;
      if (at + 4 <= data.size()) {
        set_field(data, at, 4, one_in(2) ? awkward() : field(data, at, 4) + below(5) - 2);
      }
      break;
    }
    case 6:  // everything behind the header
      for (std::size_t i = 64; i < data.size(); ++i) data[i] = random_byte();
      break;
    case 7: {  // a range, by zeros, ones or another range
      const std::size_t begin = below(data.size()), count = below(data.size() - begin) + 1;
      const std::size_t from = below(data.size() - count + 1);
      if (one_in(3)) {
        std::memmove(data.data() + begin, data.data() + from, count);
      } else {
        std::memset(data.data() + begin, one_in(2) ? 0 : 0xFF, count);
      }
      break;
    }
    default:  // no container at all
      data.resize(below(400));
      for (auto& b : data) b = random_byte();
      if (data.size() >= 64 && one_in(2)) std::memcpy(data.data(), "AKVC\1\0\x0e\x20", 8);
  }
}

void damage_model(std::vector<std::uint16_t>& model) {
  for (std::uint64_t n = 1 + below(3); n > 0 && !model.empty(); --n) {
    model[below(model.size())] = static_cast<std::uint16_t>(
        one_in(2) ? random_bits() : model[below(model.size())] + below(3) - 1);
  }
}

// True when it was taken. Output that was refused for its checks must be as it was before.
bool decode_into(const Case& c, const Bytes& data, const std::vector<std::uint16_t>& model,
                 Bytes* out) {
  const Exact from(data);
  const Exact to(Bytes(c.symbols.size(), 0xA5));
  bool taken = true;
  try {
    decode(from.data(), from.size, {model.data(), c.bins}, c.view(to.data()));
  } catch (const ArgumentFault&) {
    taken = false;
  }
  out->assign(to.data(), to.data() + to.size);
  return taken;
}

void run_round() {
  Case c = make_case();
  const Bytes sound = encode_case(c);
  Bytes out;
  if (!decode_into(c, sound, c.model, &out)) fail("refused what it encoded");
  if (out != c.symbols) fail("decoded other symbols");
  for (int i = 0; i < 12; ++i) {
    Bytes data = sound;
    auto model = c.model;
    for (std::uint64_t n = one_in(3) ? 2 : 1; n > 0 && !data.empty(); --n) damage(data);
    if (one_in(8)) damage_model(model);
    const bool repaired = one_in(2);
    if (repaired) repair(data);
    const bool taken = decode_into(c, data, model, &out);
    ++(taken ? passed : refused);
    if (repaired) continue;
    if (taken && (data != sound || model != c.model)) fail("took damaged data");
    if (!taken && out != Bytes(out.size(), 0xA5)) fail("wrote before it refused");
  }
  // Symbols that the model does not have, and models that are none.
  if (c.symbols.empty()) return;
  Case wrong = c;
  const bool outside = c.bins < 256 && one_in(2);
  if (outside) {
    wrong.symbols[below(wrong.symbols.size())] =
        static_cast<std::uint8_t>(c.bins + below(256 - c.bins));
  } else {
    damage_model(wrong.model);
  }
  try {
    encode_case(wrong);
    if (outside) fail("encoded a symbol outside the bins");
  } catch (const ArgumentFault&) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: coding_fuzz SECONDS SEED\n");
    return 2;
  }
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::milliseconds(static_cast<long>(std::atof(argv[1]) * 1000));
  seed = std::strtoull(argv[2], nullptr, 10);
  static constexpr const char* kNames[] = {"portable", "avx2", "avx512"};
  std::uint64_t done[3] = {};
  while (std::chrono::steady_clock::now() < end) {
    const std::size_t which = rounds % 3;
    if (use_kernels(kNames[which])) {
      random_bits.seed(seed + rounds * 0x9E3779B97F4A7C15u);
      alarm(120);
      run_round();
      ++done[which];
    }
    ++rounds;
  }
  std::printf("%llu rounds: portable %llu, avx2 %llu, avx512 %llu; %llu refused, %llu taken\n",
              static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(done[0]),
              static_cast<unsigned long long>(done[1]), static_cast<unsigned long long>(done[2]),
              static_cast<unsigned long long>(refused), static_cast<unsigned long long>(passed));
  return refused > 0 && done[0] > 0 ? 0 : 1;
}
