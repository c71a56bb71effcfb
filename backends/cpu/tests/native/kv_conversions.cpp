// Conversions against loops over single elements, on random plans whose buffers end where the
// elements end: run under sanitizers, any access beyond a buffer is an error. Usage:
// kv_conversions SEED ROUNDS
//
// The expectation walks every dimension itself, and computes with accel/kv_number.h one number at a
// time; every set of row kernels that the processor has is run.
#include <accel/kv_number.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#include "kv/elements.hpp"
#include "kv/transfer.hpp"

using accel_cpu::kv::ElementPlane;
using accel_cpu::kv::ScaleTable;
using accel_cpu::numeric::Kind;
using Random = std::mt19937_64;

namespace {

// Memory that starts on a cache line, and ends where it ends.
template <class T>
struct Lines {
  using value_type = T;
  Lines() = default;
  template <class U>
  Lines(const Lines<U>&) {}  // NOLINT: implicit, as allocators are
  T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(64)));
  }
  void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t(64)); }
  friend bool operator==(const Lines&, const Lines&) { return true; }
  friend bool operator!=(const Lines&, const Lines&) { return false; }
};
using Bytes = std::vector<std::uint8_t, Lines<std::uint8_t>>;

std::int64_t draw(Random& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

float load(Kind kind, const std::uint8_t* from) {
  std::uint16_t half;
  float whole;
  std::memcpy(&half, from, kind == Kind::F16 || kind == Kind::BF16 ? 2 : 0);
  switch (kind) {
    case Kind::F32: std::memcpy(&whole, from, 4); return whole;
    case Kind::F16: return accel_from_f16(half);
    case Kind::BF16: return accel_from_bf16(half);
    case Kind::E4M3: return accel_from_e4m3(*from);
    case Kind::E5M2: return accel_from_e5m2(*from);
    default: return accel_from_i8(*from);
  }
}

void store(Kind kind, float x, std::uint8_t* to) {
  const std::uint16_t half = kind == Kind::F16 ? accel_to_f16(x) : accel_to_bf16(x);
  switch (kind) {
    case Kind::F32: std::memcpy(to, &x, 4); break;
    case Kind::F16:
    case Kind::BF16: std::memcpy(to, &half, 2); break;
    case Kind::E4M3: *to = accel_to_e4m3(x); break;
    case Kind::E5M2: *to = accel_to_e5m2(x); break;
    default: *to = accel_to_i8(x);
  }
}

// Strides, in elements, of nested dimensions laid out in a random order with random gaps. The last
// extent is the run: its stride is 1.
std::vector<accel_i64> lay_out(Random& random, const std::vector<accel_i64>& extents,
                               accel_i64 grid, accel_i64* span) {
  std::vector<std::size_t> order(extents.size() - 1);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  std::vector<accel_i64> strides(extents.size(), 1);
  *span = extents.back();
  for (const std::size_t i : order) {
    strides[i] = *span + (draw(random, 0, 3) == 0 ? grid * draw(random, 1, 70) : 0);
    *span = strides[i] * (extents[i] - 1) + *span;
  }
  return strides;
}

struct Side {
  Kind kind;
  std::vector<accel_i64> strides;  // block, slot, dims
  accel_i64 span = 0;
  std::vector<Bytes> buffers;  // by place
  std::vector<std::uintptr_t> bases;
};

struct Case {
  accel_kv_elements plan{};
  accel_i64 units = 0, heads = 1, places = 1;
  std::vector<accel_i64> extents;  // block, slot, dims, run
  Side src, dst;
  ScaleTable multiply, divide;
};

accel_kv_paging paging(const std::vector<accel_i64>& extents, const Side& side) {
  if (extents[1] == 1) return {1, side.strides[0], 0};
  return {extents[1], side.strides[0], side.strides[1]};
}

Case make_case(Random& random) {
  static const accel_i64 runs[] = {1, 2, 8, 16, 31, 64, 100, 128, 511, 512, 513, 576, 1200};
  Case c;
  c.places = draw(random, 1, 3);
  c.extents = {draw(random, 1, 4), draw(random, 0, 1) == 0 ? 1 : draw(random, 2, 5)};
  c.units = c.extents[0] * c.extents[1];
  auto& plane = c.plan.plane;
  plane.ndim = draw(random, 0, 3);
  plane.run_bytes = runs[draw(random, 0, std::size(runs) - 1)];
  plane.runs = 1;
  for (accel_i64 d = 0; d < plane.ndim; ++d) {
    const bool room = plane.runs * plane.run_bytes < 300;
    c.extents.push_back(draw(random, 2, room ? 17 : 3));
    plane.size[d] = c.extents.back();
    plane.runs *= plane.size[d];
  }
  c.extents.push_back(plane.run_bytes);
  for (Side* side : {&c.src, &c.dst}) {
    side->kind = static_cast<Kind>(draw(random, 0, 5));
    const accel_i64 grid = draw(random, 0, 1) == 0 ? 1 : 64;  // 64: whole lines, if the run is
    side->strides = lay_out(random, c.extents, grid, &side->span);
    const auto size = static_cast<accel_i64>(accel_cpu::numeric::size_of(side->kind));
    for (accel_i64 p = 0; p < c.places; ++p) {
      const accel_i64 away = grid == 64 ? 0 : draw(random, 0, 1) * size * draw(random, 0, 40);
      const auto offset = static_cast<std::size_t>(away);
      side->buffers.emplace_back(offset + static_cast<std::size_t>(side->span * size));
      for (auto& byte : side->buffers.back()) byte = static_cast<std::uint8_t>(random());
      side->bases.push_back(
          reinterpret_cast<std::uintptr_t>(side->buffers.back().data() + offset));
    }
  }
  plane.src = paging(c.extents, c.src);
  plane.dst = paging(c.extents, c.dst);
  for (accel_i64 d = 0; d < plane.ndim; ++d) {
    const auto at = static_cast<std::size_t>(d) + 2;
    plane.src_stride[d] = c.src.strides[at];
    plane.dst_stride[d] = c.dst.strides[at];
  }
  const bool by_head = plane.ndim > 0 && draw(random, 0, 1) == 0;
  if (by_head) {  // the first dimension is the heads
    c.heads = plane.size[0];
    c.plan.src_head[0] = c.plan.dst_head[0] = 1;
  }
  for (ScaleTable* table : {&c.multiply, &c.divide}) {
    if (draw(random, 0, 2) == 0 && !by_head) continue;
    table->step = static_cast<std::size_t>(c.heads);
    for (accel_i64 i = 0; i < c.places * c.heads; ++i) {
      table->values.push_back(std::exp2(static_cast<float>(draw(random, -40, 40)) / 7));
    }
  }
  return c;
}

// What unit `from` of the source becomes in unit `to` of the destination, element by element.
void expect_unit(const Case& c, accel_i64 place, accel_i64 from, accel_i64 to,
                 const float* multiply, const float* divide) {
  const auto at = static_cast<std::size_t>(place);
  const auto src_size = accel_cpu::numeric::size_of(c.src.kind);
  const auto dst_size = accel_cpu::numeric::size_of(c.dst.kind);
  std::vector<accel_i64> index(c.extents.size(), 0);
  for (;;) {
    accel_i64 s = from / c.extents[1] * c.src.strides[0] + from % c.extents[1] * c.src.strides[1];
    accel_i64 d = to / c.extents[1] * c.dst.strides[0] + to % c.extents[1] * c.dst.strides[1];
    for (std::size_t i = 2; i < index.size(); ++i) {
      s += index[i] * c.src.strides[i];
      d += index[i] * c.dst.strides[i];
    }
    const auto head = static_cast<std::size_t>(c.heads > 1 ? index[2] : 0);
    const auto* source = reinterpret_cast<const std::uint8_t*>(c.src.bases[at]);
    auto* target = reinterpret_cast<std::uint8_t*>(c.dst.bases[at]);
    float x = load(c.src.kind, source + static_cast<std::size_t>(s) * src_size);
    if (multiply != nullptr) x = x * multiply[head];
    if (divide != nullptr) x = x / divide[head];
    store(c.dst.kind, x, target + static_cast<std::size_t>(d) * dst_size);
    std::size_t i = index.size() - 1;
    while (i >= 2 && ++index[i] == c.extents[i]) index[i--] = 0;
    if (i < 2) return;
  }
}

// Runs `expected`, keeps what it wrote, puts the destination back, runs `work` and compares. NaN
// of a float dtype may have any payload.
template <class Expected, class Work>
bool same(Case& c, Expected expected, Work work) {
  const auto before = c.dst.buffers;
  expected();
  const auto want = c.dst.buffers;
  for (std::size_t p = 0; p < before.size(); ++p) {
    std::copy(before[p].begin(), before[p].end(), c.dst.buffers[p].begin());
  }
  work();
  const auto size = accel_cpu::numeric::size_of(c.dst.kind);
  bool good = true;
  for (std::size_t p = 0; p < want.size(); ++p) {
    const Bytes& have = c.dst.buffers[p];
    for (std::size_t i = 0; i < have.size(); i += size) {
      if (std::memcmp(&have[i], &want[p][i], size) == 0) continue;
      const float x = load(c.dst.kind, &have[i]), y = load(c.dst.kind, &want[p][i]);
      good = good && x != x && y != y && size > 1;
    }
  }
  for (std::size_t p = 0; p < before.size(); ++p) {
    std::copy(before[p].begin(), before[p].end(), c.dst.buffers[p].begin());
  }
  return good;
}

bool check(Random& random, Case& c) {
  const std::vector<ElementPlane> planes(1, ElementPlane(c.plan, c.src.kind, c.dst.kind));
  const bool whole = same(
      c,
      [&] {
        for (accel_i64 place = 0; place < c.places; ++place) {
          const auto p = static_cast<std::size_t>(place);
          for (accel_i64 u = 0; u < c.units; ++u) {
            expect_unit(c, place, u, u, c.multiply.row(p), c.divide.row(p));
          }
        }
      },
      [&] {
        accel_cpu::kv::convert_elements(planes, c.src.bases, c.dst.bases, c.units, c.multiply,
                                        c.divide);
      });
  // A write: some units of one place to others, with a row of scales for each.
  accel::SlotPairs pairs;
  std::vector<std::int64_t> all(static_cast<std::size_t>(c.units));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  std::shuffle(all.begin(), all.end(), random);
  ScaleTable table;
  table.step = static_cast<std::size_t>(c.heads);
  for (const auto d : all) {
    if (draw(random, 0, 3) == 0) continue;
    pairs.src.push_back(draw(random, 0, c.units - 1));
    pairs.dst.push_back(d);
    for (accel_i64 h = 0; h < c.heads; ++h) {
      table.values.push_back(std::exp2(static_cast<float>(draw(random, -40, 40)) / 7));
    }
  }
  if (pairs.src.empty()) return whole;
  const bool written = same(
      c,
      [&] {
        for (std::size_t i = 0; i < pairs.src.size(); ++i) {
          expect_unit(c, 0, pairs.src[i], pairs.dst[i], nullptr, table.row(i));
        }
      },
      [&] { accel_cpu::kv::write_elements(planes, c.src.bases, c.dst.bases, pairs, {table}); });
  return whole && written;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const long rounds = argc > 2 ? std::atol(argv[2]) : 1000;
  static constexpr const char* kKernels[] = {"avx512", "avx2", "portable"};
  for (long round = 0; round < rounds; ++round) {
    Random random(seed * 1000003 + static_cast<std::uint64_t>(round));
    Case c = make_case(random);
    if (!accel_cpu::numeric::use_rows(kKernels[draw(random, 0, 2)])) {
      accel_cpu::numeric::use_rows("portable");
    }
    accel_cpu::kv::set_policy({draw(random, 0, 1) == 0 ? 0 : INT64_MAX,
                               draw(random, 0, 1) == 0 ? 0 : INT64_MAX});
    if (!check(random, c)) {
      std::printf("wrong result: seed %llu round %ld (%s)\n", static_cast<unsigned long long>(seed),
                  round, accel_cpu::numeric::rows().name);
      return 1;
    }
  }
  std::printf("%ld rounds\n", rounds);
  return 0;
}
