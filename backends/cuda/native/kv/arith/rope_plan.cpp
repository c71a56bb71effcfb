#include "rope_plan.hpp"

#include <algorithm>
#include <cmath>

namespace accel_cuda::arith {
namespace {

constexpr std::int64_t kThreads = 256;
constexpr std::int64_t kResident = 4;  // blocks of a multiprocessor
// Cosines that a block keeps.
constexpr std::int64_t kMostCosines = 4096;
constexpr std::int64_t kMostPiece = 1024;  // pairs

accel_quotient quotient(std::int64_t by) {
  return accel_quotient_by(static_cast<unsigned>(std::max<std::int64_t>(1, by)));
}

std::int64_t up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

// Bytes that a load takes: what all addresses are multiples of, in whole chunks.
int vector_of(const KeyHeads& keys, const Turning& turning) {
  const auto size = static_cast<std::int64_t>(accel::size_of(keys.kind));
  if (keys.stride != size) return 0;
  const std::int64_t pairs = turning.pairs();
  auto steps = keys.alignment | static_cast<std::uint64_t>(keys.head_stride) |
               static_cast<std::uint64_t>(keys.outer_stride) |
               static_cast<std::uint64_t>(turning.first * size);
  if (!turning.interleaved) steps |= static_cast<std::uint64_t>(pairs * size);
  for (const int vector : {16, 8, 4}) {
    const std::int64_t loaded = vector / size;
    const std::int64_t of_chunk = turning.interleaved ? loaded / 2 : loaded;
    if (of_chunk == 0 || pairs % of_chunk != 0) continue;
    if (keys.outer_stride != 0 && keys.inner % loaded != 0) continue;
    if (steps % static_cast<unsigned>(vector) == 0) return vector;
  }
  return 0;
}

}  // namespace

std::uint64_t turn_fraction(double radians) {
  // 2^128 / (2 pi)
  constexpr unsigned __int128 kInverse =
      static_cast<unsigned __int128>(0x28BE60DB9391054Aull) << 64 | 0x7F09D5F47D4D3770ull;
  int exponent = 0;
  const double fraction = std::frexp(radians, &exponent);
  const auto significand = static_cast<std::uint64_t>(std::ldexp(fraction, 53));
  const int scale = exponent - 53;  // radians = significand * 2^scale
  // significand * kInverse as 192 bits, high and low.
  const unsigned __int128 low = static_cast<unsigned __int128>(significand) *
                                static_cast<std::uint64_t>(kInverse);
  const unsigned __int128 high = static_cast<unsigned __int128>(significand) *
                                     static_cast<std::uint64_t>(kInverse >> 64) + (low >> 64);
  const auto least = static_cast<std::uint64_t>(low);
  // The product times 2^(scale - 64), from its bit (64 - scale) on.
  const int from = 64 - scale;
  if (from >= 192) return 0;
  if (from >= 64) return static_cast<std::uint64_t>(high >> (from - 64));
  if (from <= 0) return from > -64 ? least << -from : 0;
  return static_cast<std::uint64_t>(high << (64 - from)) | least >> from;
}

std::vector<RopeAxis> merged(const std::vector<RopeAxis>& axes) {
  std::vector<RopeAxis> kept;
  for (const RopeAxis& axis : axes) {
    if (axis.extent == 1) continue;
    if (!kept.empty() && kept.back().step == axis.extent * axis.step &&
        kept.back().old_step == axis.extent * axis.old_step &&
        kept.back().new_step == axis.extent * axis.new_step) {
      const std::int64_t extent = kept.back().extent * axis.extent;
      kept.back() = axis;
      kept.back().extent = extent;
    } else {
      kept.push_back(axis);
    }
  }
  return kept;
}

std::unique_ptr<RopeLaunch> plan_rope(const KeyHeads& keys, const Turning& turning,
                                      DevicePointer turns, std::int64_t tokens,
                                      int multiprocessors) {
  auto launch = std::make_unique<RopeLaunch>();
  const auto size = static_cast<std::int64_t>(accel::size_of(keys.kind));
  const int vector = vector_of(keys, turning);
  launch->variant = {kRopeReposition,
                     {static_cast<int>(keys.kind), turning.interleaved ? 1 : 0, vector, 0}};
  const std::int64_t loaded = vector == 0 ? 1 : vector / size;
  const std::int64_t of_chunk = turning.interleaved && vector != 0 ? loaded / 2 : loaded;
  const std::int64_t pairs = turning.pairs(), chunks = pairs / of_chunk;
  const std::int64_t piece =
      std::min({chunks, kThreads, std::max<std::int64_t>(1, kMostPiece / of_chunk)});
  const std::int64_t padded = up(piece * of_chunk, 4) * 4;
  const std::int64_t rows = kThreads / piece, wanted = 2 * multiprocessors;
  std::int64_t lanes = std::min<std::int64_t>({2, keys.heads, rows});
  while (lanes * 2 <= std::min(keys.heads, rows) && tokens * lanes < wanted * rows) lanes *= 2;
  const std::int64_t tile =
      std::max<std::int64_t>(1, std::min({rows / lanes, kMostCosines / padded, tokens}));
  const std::int64_t tiles = up(tokens, tile);
  // Threads that share no cosines need not wait for one another: then as many as there is room for.
  const bool alone = lanes == 1;
  const std::int64_t groups = std::clamp<std::int64_t>(
      std::max(up(wanted, tiles), alone ? kResident * multiprocessors / tiles : 0), 1, keys.layers);
  const std::int64_t layers_each = up(keys.layers, groups);
  const bool tokens_first = keys.stride > size && keys.token_step < keys.stride;

  accel_rope_args& args = launch->args;
  args.base = keys.base;
  args.bases = keys.bases;
  args.tokens = static_cast<unsigned>(tokens);
  args.layers = static_cast<unsigned>(keys.layers);
  args.head_stride = keys.head_stride;
  args.stride = keys.stride;
  args.outer_stride = keys.outer_stride;
  args.inner = static_cast<unsigned>(keys.inner);
  args.first = static_cast<unsigned>(turning.first);
  args.pairs = static_cast<unsigned>(pairs);
  args.tile = static_cast<unsigned>(tile);
  args.layers_each = static_cast<unsigned>(layers_each);
  args.piece = static_cast<unsigned>(piece);
  args.chunks = static_cast<unsigned>(chunks);
  args.heads = static_cast<unsigned>(keys.heads);
  args.head_lanes = static_cast<unsigned>(lanes);
  args.tokens_first = tokens_first ? 1 : 0;
  args.alone = alone ? 1 : 0;
  args.inner_by = quotient(tokens_first ? tile : piece);
  args.middle_by = quotient(tokens_first ? piece : lanes);
  args.turns = turns;
  launch->grid = {static_cast<unsigned>(tiles), static_cast<unsigned>(up(keys.layers, layers_each)),
                  static_cast<unsigned>(up(chunks, piece))};
  launch->shared_bytes = static_cast<unsigned>(tile * 8 + 2 * 4 * tile * padded);
  return launch;
}

}  // namespace accel_cuda::arith
