// The KV engine against byte-by-byte loops, on random plans whose buffers end where the payload
// ends: run under sanitizers, any access beyond a buffer is an error. Usage: kv_engine SEED ROUNDS
//
// The expectation walks every dimension itself; it shares only the struct definitions with the
// engine.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "accel/kv_overlap.hpp"
#include "kv/transfer.hpp"

using accel_cpu::kv::Bound;
using Bytes = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

namespace {

std::int64_t draw(Random& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

// Strides of nested dimensions laid out in a random order with random gaps.
struct Side {
  std::vector<accel_i64> strides;  // as the extents stand
  accel_i64 span = 0;              // bytes from the first to the last
};

Side lay_out(Random& random, const std::vector<accel_i64>& extents, accel_i64 run) {
  std::vector<std::size_t> order(extents.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  Side side;
  side.strides.resize(extents.size());
  side.span = run;
  for (const std::size_t i : order) {
    side.strides[i] = side.span + (draw(random, 0, 3) == 0 ? draw(random, 1, 70) : 0);
    side.span = side.strides[i] * (extents[i] - 1) + side.span;
  }
  return side;
}

struct Case {
  Bound bound;
  std::vector<std::unique_ptr<Bytes>> src, dst;  // one buffer each, or one for all layers
  accel_i64 src_units = 0, dst_units = 0;
};

// Extents of [block, slot, dims...]; the first two are the units.
accel_kv_paging paging(accel_i64 slots, const Side& side) {
  if (slots == 1) return {1, side.strides[0], 0};
  if (side.strides[0] == slots * side.strides[1]) return {1, side.strides[1], 0};
  return {slots, side.strides[0], side.strides[1]};
}

Case make_case(Random& random) {
  static const accel_i64 runs[] = {1, 2, 4, 8, 16, 32, 48, 64, 100, 128, 160, 256, 320, 1152, 5000};
  Case c;
  c.bound.layers = draw(random, 1, 3);
  const auto planes = static_cast<std::size_t>(draw(random, 1, 2));
  const accel_i64 slots = draw(random, 0, 2) == 0 ? 1 : draw(random, 1, 20);
  const accel_i64 src_blocks = draw(random, 1, 6), dst_blocks = draw(random, 1, 6);
  c.src_units = src_blocks * slots;
  c.dst_units = dst_blocks * slots;
  std::vector<Side> src_sides, dst_sides;
  for (std::size_t p = 0; p < planes; ++p) {
    accel_kv_plane plane{};
    plane.run_bytes = runs[draw(random, 0, std::size(runs) - 1)];
    plane.ndim = draw(random, 0, 3);
    plane.runs = 1;
    std::vector<accel_i64> dims;
    for (accel_i64 d = 0; d < plane.ndim; ++d) {
      const bool room = plane.runs * plane.run_bytes < 400;
      dims.push_back(draw(random, 2, room ? 19 : 3));
      plane.runs *= dims.back();
    }
    auto src_extents = dims, dst_extents = dims;
    src_extents.insert(src_extents.begin(), {src_blocks, slots});
    dst_extents.insert(dst_extents.begin(), {dst_blocks, slots});
    const Side src = lay_out(random, src_extents, plane.run_bytes);
    const Side dst = lay_out(random, dst_extents, plane.run_bytes);
    plane.src = paging(slots, src);
    plane.dst = paging(slots, dst);
    // As plans have them: by falling destination stride.
    std::vector<std::size_t> order(dims.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return dst.strides[a + 2] > dst.strides[b + 2];
    });
    for (std::size_t d = 0; d < order.size(); ++d) {
      plane.size[d] = dims[order[d]];
      plane.src_stride[d] = src.strides[order[d] + 2];
      plane.dst_stride[d] = dst.strides[order[d] + 2];
    }
    c.bound.planes.push_back(plane);
    src_sides.push_back(src);
    dst_sides.push_back(dst);
  }
  const auto allocate = [&](const std::vector<Side>& sides,
                            std::vector<std::unique_ptr<Bytes>>* out,
                            std::vector<std::uintptr_t>* bases) {
    for (std::int64_t i = 0; i < c.bound.layers * static_cast<std::int64_t>(planes); ++i) {
      const auto offset = static_cast<std::size_t>(draw(random, 0, 1) * draw(random, 0, 130));
      const auto& side = sides[static_cast<std::size_t>(i) % planes];
      auto buffer = std::make_unique<Bytes>(offset + static_cast<std::size_t>(side.span));
      for (auto& byte : *buffer) byte = static_cast<std::uint8_t>(random());
      bases->push_back(reinterpret_cast<std::uintptr_t>(buffer->data() + offset));
      out->push_back(std::move(buffer));
    }
  };
  allocate(src_sides, &c.src, &c.bound.src);
  allocate(dst_sides, &c.dst, &c.bound.dst);
  return c;
}

accel::SlotPairs make_pairs(Random& random, const Case& c) {
  accel::SlotPairs pairs;
  if (draw(random, 0, 1) == 0) {  // neighbours
    const accel_i64 n = draw(random, 0, std::min(c.src_units, c.dst_units));
    const accel_i64 s = draw(random, 0, c.src_units - n), d = draw(random, 0, c.dst_units - n);
    for (accel_i64 i = 0; i < n; ++i) {
      pairs.src.push_back(s + i);
      pairs.dst.push_back(d + i);
    }
    return pairs;
  }
  std::vector<std::int64_t> all(static_cast<std::size_t>(c.dst_units));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  std::shuffle(all.begin(), all.end(), random);
  all.resize(static_cast<std::size_t>(draw(random, 0, c.dst_units)));
  for (const auto d : all) {
    pairs.src.push_back(draw(random, 0, c.src_units - 1));
    pairs.dst.push_back(d);
  }
  return pairs;
}

accel_i64 unit(const accel_kv_paging& p, accel_i64 slot) {
  if (p.block_size == 1) return slot * p.block_stride;
  return (slot / p.block_size) * p.block_stride + (slot % p.block_size) * p.slot_stride;
}

void copy_dims(const accel_kv_plane& plane, accel_i64 d, std::uint8_t* to,
               const std::uint8_t* from) {
  if (d == plane.ndim) {
    for (accel_i64 i = 0; i < plane.run_bytes; ++i) to[i] = from[i];
    return;
  }
  for (accel_i64 i = 0; i < plane.size[d]; ++i) {
    copy_dims(plane, d + 1, to + i * plane.dst_stride[d], from + i * plane.src_stride[d]);
  }
}

// Runs the loops, keeps their result, and puts the destination back.
std::vector<Bytes> expect(const Case& c, const accel::SlotPairs& pairs) {
  std::vector<Bytes> before, after;
  for (const auto& buffer : c.dst) before.push_back(*buffer);
  for (std::size_t at = 0; at < c.bound.dst.size(); ++at) {
    const auto& plane = c.bound.planes[at % c.bound.planes.size()];
    for (std::size_t i = 0; i < pairs.src.size(); ++i) {
      copy_dims(plane, 0,
                reinterpret_cast<std::uint8_t*>(c.bound.dst[at]) + unit(plane.dst, pairs.dst[i]),
                reinterpret_cast<std::uint8_t*>(c.bound.src[at]) + unit(plane.src, pairs.src[i]));
    }
  }
  for (std::size_t b = 0; b < c.dst.size(); ++b) {
    after.push_back(*c.dst[b]);
    std::copy(before[b].begin(), before[b].end(), c.dst[b]->begin());
  }
  return after;
}

// Layers at equal distances in one allocation, closer than tokens on the source side: what
// fold_layers looks for.
bool check_folding(Random& random) {
  const accel_i64 layers = draw(random, 2, 5), tokens = draw(random, 1, 9);
  const accel_i64 run = 2 * draw(random, 1, 40);
  Bytes src(static_cast<std::size_t>(layers * tokens * run)), dst(src.size()), want(src.size());
  for (auto& byte : src) byte = static_cast<std::uint8_t>(random());
  Bound bound;
  bound.layers = layers;
  accel_kv_plane plane{};
  plane.src = {1, layers * run, 0};
  plane.dst = {1, run, 0};
  plane.run_bytes = run;
  plane.runs = 1;
  bound.planes = {plane};
  accel::SlotPairs pairs;
  for (accel_i64 l = 0; l < layers; ++l) {
    bound.src.push_back(reinterpret_cast<std::uintptr_t>(src.data() + l * run));
    bound.dst.push_back(reinterpret_cast<std::uintptr_t>(dst.data() + l * tokens * run));
    for (accel_i64 t = 0; t < tokens; ++t) {
      std::copy_n(src.begin() + (t * layers + l) * run, run, want.begin() + (l * tokens + t) * run);
    }
  }
  for (accel_i64 t = 0; t < tokens; ++t) {
    pairs.src.push_back(t);
    pairs.dst.push_back(t);
  }
  const Bound folded = accel_cpu::kv::fold_layers(bound);
  if (folded.layers != 1 || folded.unit_bytes() != layers * run) return false;
  accel_cpu::kv::transfer(folded, pairs);
  return dst == want;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const long rounds = argc > 2 ? std::atol(argv[2]) : 1000;
  for (long round = 0; round < rounds; ++round) {
    Random random(seed * 1000003 + static_cast<std::uint64_t>(round));
    Case c = make_case(random);
    const accel::SlotPairs pairs = make_pairs(random, c);
    const auto want = expect(c, pairs);
    accel_cpu::kv::set_policy({draw(random, 0, 1) == 0 ? 0 : INT64_MAX,
                               draw(random, 0, 1) == 0 ? 0 : INT64_MAX});
    accel_cpu::kv::transfer(c.bound, pairs);
    bool good = check_folding(random);
    for (std::size_t b = 0; b < want.size(); ++b) good = good && *c.dst[b] == want[b];
    std::uintptr_t address = 0;
    good = good && !accel::reads_what_it_writes(c.bound.layers, c.bound.planes, c.bound.src,
                                                c.bound.dst, pairs, &address);
    if (!good) {
      std::printf("wrong result: seed %llu round %ld\n", static_cast<unsigned long long>(seed),
                  round);
      return 1;
    }
  }
  std::printf("%ld rounds\n", rounds);
  return 0;
}
