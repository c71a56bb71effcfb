#include "copy_plan.hpp"

#include <algorithm>
#include <cstring>

namespace accel_cuda::kv {
namespace {

constexpr std::int64_t kVector = 16;
// Divisions are prepared for numbers below this.
constexpr std::int64_t kMostCounted = (std::int64_t{1} << 31) - 1;
// Squares that neighbouring threads take along the source: whole sectors of memory on both sides.
constexpr std::int64_t kSquaresAlong = 8;
// Squares' lines that follow one another for fewer bytes than a line of the cache are dealt out; of
// bytes, whose squares are large, for fewer than half of it.
constexpr std::int64_t kShortStretch = 128;
// A launch's bases leave room for this many indices of both sides.
constexpr std::int64_t kIndicesBeside = 128;

struct Axis {
  std::int64_t size, src, dst;
};

std::vector<Axis> axes_of(const accel_kv_plane& plane) {
  std::vector<Axis> axes;
  for (std::int64_t i = 0; i < plane.ndim; ++i) {
    axes.push_back({plane.size[i], plane.src_stride[i], plane.dst_stride[i]});
  }
  return axes;
}

// Strides and addresses: their lowest bits say how they are aligned.
struct Bits {
  std::uint64_t all = 0;
  void add(std::int64_t value) { all |= static_cast<std::uint64_t>(value); }
  void add(const accel_kv_paging& p) {
    add(p.block_stride);
    if (p.block_size > 1) add(p.slot_stride);
  }
  // The largest power of two that divides them, at most 16.
  std::int64_t alignment() const {
    const std::uint64_t low = all & (~all + 1);
    return low == 0 || low > kVector ? kVector : static_cast<std::int64_t>(low);
  }
};

// The kernel for elements or vectors of `width` bytes, a power of two, given that of one byte.
CopyKernel kernel_of(CopyKernel of_bytes, std::int64_t width) {
  int kernel = of_bytes;
  for (; width > 1; width /= 2) ++kernel;
  return static_cast<CopyKernel>(kernel);
}

accel_copy_side side_of(const accel_kv_paging& p) {
  accel_copy_side side = {};
  if (p.block_size > 1) side.magic = UINT64_MAX / static_cast<std::uint64_t>(p.block_size) + 1;
  side.block_size = p.block_size;
  side.block_stride = p.block_stride;
  side.slot_stride = p.slot_stride;
  return side;
}

void set_axes(accel_copy_kind* kind, const std::vector<Axis>& axes) {
  kind->ndim = static_cast<unsigned>(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    kind->size[i] = accel_quotient_by(static_cast<unsigned>(axes[i].size));
    kind->src_stride[i] = axes[i].src;
    kind->dst_stride[i] = axes[i].dst;
  }
}

// Whether the bases lie closer together than units on either side: pages that hold all layers.
bool bases_are_near(const accel_kv_plane& plane, const std::vector<BasePair>& bases) {
  if (bases.size() < 2) return false;
  const auto step = [](const accel_kv_paging& p) {
    return std::abs(p.block_size == 1 ? p.block_stride : p.slot_stride);
  };
  const auto apart = [&](Address BasePair::*side) {
    return std::abs(static_cast<std::int64_t>(bases[1].*side - bases[0].*side));
  };
  const auto near = [](std::int64_t distance, std::int64_t unit) {
    return distance > 0 && distance < unit;
  };
  return near(apart(&BasePair::src), step(plane.src)) ||
         near(apart(&BasePair::dst), step(plane.dst));
}

// Whether so many squares of `width` side by side are a short stretch of memory, and how a group of
// threads shall number them: they must divide it.
bool is_short(std::int64_t squares, std::int64_t width, unsigned* shift) {
  const std::int64_t most = width == 1 ? kShortStretch / 2 : kShortStretch;
  if (width == kVector || squares * kVector >= most) return false;
  for (*shift = 0; std::int64_t{1} << *shift < squares;) ++*shift;
  return std::int64_t{1} << *shift == squares;
}

bool try_squares(CopyKind* kind, const accel_kv_plane& plane) {
  const std::int64_t width = plane.run_bytes;
  if (width > kVector || (width & (width - 1)) != 0) return false;
  const std::int64_t side = kVector / width;
  const std::vector<Axis> axes = axes_of(plane);
  std::size_t along = axes.size(), across = axes.size();
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (axes[i].src == width && axes[i].dst != width) along = i;
    if (axes[i].dst == width && axes[i].src != width) across = i;
  }
  if (along == axes.size() || across == axes.size()) return false;
  if (axes[along].size % side != 0 || axes[across].size % side != 0) return false;
  Bits bits;
  std::vector<Axis> rest;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (i != along) bits.add(axes[i].src);
    if (i != across) bits.add(axes[i].dst);
    if (i != along && i != across) rest.push_back(axes[i]);
  }
  bits.add(plane.src);
  bits.add(plane.dst);
  for (const BasePair& base : kind->bases) {
    bits.add(static_cast<std::int64_t>(base.src | base.dst));
  }
  if (bits.alignment() != kVector) return false;
  accel_copy_kind& fields = kind->fields;
  const std::int64_t all_along = axes[along].size / side, all_across = axes[across].size / side;
  std::int64_t beside = kSquaresAlong;
  if (is_short(all_across, width, &fields.beside_shift)) {
    fields.dealt = ACCEL_COPY_DEALT_DST;
    beside = 1;
  } else if (is_short(all_along, width, &fields.beside_shift)) {
    fields.dealt = ACCEL_COPY_DEALT_SRC;
    beside = all_along;
  }
  while (all_along % beside != 0) --beside;
  rest.push_back({all_along / beside, 0, 0});
  rest.push_back({all_across, 0, 0});
  set_axes(&fields, rest);
  fields.turn_src = axes[across].src;
  fields.turn_dst = axes[along].dst;
  fields.width = static_cast<unsigned>(width);
  fields.vectors = accel_quotient_by(static_cast<unsigned>(beside));
  kind->unit_vectors = plane.runs / (side * side);
  fields.runs = accel_quotient_by(static_cast<unsigned>(kind->unit_vectors));
  kind->place_vectors = kind->unit_vectors;
  kind->tile_vectors = ACCEL_COPY_THREADS * ACCEL_COPY_SQUARES(width);
  kind->kernel = kernel_of(kTurned1, width);
  return true;
}

void set_rows(CopyKind* kind, const accel_kv_plane& plane) {
  Bits strides, places;
  strides.add(plane.src);
  strides.add(plane.dst);
  for (const Axis& axis : axes_of(plane)) {
    strides.add(axis.src);
    strides.add(axis.dst);
  }
  const BasePair& first = kind->bases.front();
  for (const BasePair& base : kind->bases) {
    places.add(static_cast<std::int64_t>(base.src | base.dst));
  }
  std::int64_t width = std::min(strides.alignment(), places.alignment());
  std::int64_t lead = 0;
  // Bases that are off by the same number of bytes on both sides: the first vector is a short one.
  const auto off = first.src % kVector;
  const bool alike = std::all_of(kind->bases.begin(), kind->bases.end(), [&](const BasePair& b) {
    return b.src % kVector == off && b.dst % kVector == off;
  });
  if (width < kVector && alike && strides.alignment() == kVector &&
      plane.run_bytes >= 8 * kVector) {
    width = kVector;
    lead = static_cast<std::int64_t>(off);
  }
  // The end of a run that is no whole vector goes byte by byte: rare enough in long runs only.
  while (width > plane.run_bytes || (plane.run_bytes % width != 0 && plane.run_bytes < 8 * width)) {
    width /= 2;
    lead = 0;
  }
  accel_copy_kind& fields = kind->fields;
  set_axes(&fields, axes_of(plane));
  fields.width = static_cast<unsigned>(width);
  fields.lead = static_cast<unsigned>(lead);
  const std::int64_t vectors = (plane.run_bytes + lead + width - 1) / width;
  fields.vectors = accel_quotient_by(static_cast<unsigned>(vectors));
  kind->kernel = kernel_of(kRows1, width);
  kind->unit_vectors = vectors * plane.runs;
  kind->place_vectors = vectors;
  fields.whole = lead == 0 && plane.run_bytes % width == 0 ? 1 : 0;
  kind->tile_vectors = ACCEL_COPY_THREADS * ACCEL_COPY_ROW_LOADS(width);
}

}  // namespace

accel_kv_plane group_units(const accel_kv_plane& plane, std::int64_t count) {
  if (count == 1) return plane;
  const auto step = [](const accel_kv_paging& p) {
    return p.block_size == 1 ? p.block_stride : p.slot_stride;
  };
  std::vector<Axis> axes = axes_of(plane);
  axes.push_back({count, step(plane.src), step(plane.dst)});
  std::stable_sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) {
    return a.dst != b.dst ? a.dst > b.dst : a.src > b.src;
  });
  std::vector<Axis> joined;
  for (const Axis& axis : axes) {
    if (!joined.empty() && joined.back().src == axis.size * axis.src &&
        joined.back().dst == axis.size * axis.dst) {
      joined.back() = {joined.back().size * axis.size, axis.src, axis.dst};
    } else {
      joined.push_back(axis);
    }
  }
  accel_kv_plane grouped = plane;
  if (!joined.empty() && joined.back().src == plane.run_bytes &&
      joined.back().dst == plane.run_bytes) {
    grouped.run_bytes = plane.run_bytes * joined.back().size;
    joined.pop_back();
  }
  grouped.ndim = static_cast<std::int64_t>(joined.size());
  grouped.runs = 1;
  for (std::size_t i = 0; i < ACCEL_KV_MAX_DIMS; ++i) {
    const Axis axis = i < joined.size() ? joined[i] : Axis{0, 0, 0};
    grouped.size[i] = axis.size;
    grouped.src_stride[i] = axis.src;
    grouped.dst_stride[i] = axis.dst;
    if (i < joined.size()) grouped.runs *= axis.size;
  }
  return grouped;
}

CopyKind copy_kind(const accel_kv_plane& plane, std::vector<BasePair> bases) {
  CopyKind kind;
  kind.bases = std::move(bases);
  kind.unit_bytes = plane.run_bytes * plane.runs;
  kind.fields.src = side_of(plane.src);
  kind.fields.dst = side_of(plane.dst);
  kind.fields.run_bytes = static_cast<unsigned>(plane.run_bytes);
  kind.fields.runs = accel_quotient_by(static_cast<unsigned>(plane.runs));
  kind.fields.bases_inner = bases_are_near(plane, kind.bases) ? 1 : 0;
  if (!try_squares(&kind, plane)) set_rows(&kind, plane);
  return kind;
}

std::vector<CopyKind> copy_kinds(std::int64_t layers, const std::vector<accel_kv_plane>& planes,
                                 const std::vector<Address>& src, const std::vector<Address>& dst) {
  std::vector<CopyKind> kinds;
  std::vector<bool> done(planes.size());
  for (std::size_t p = 0; p < planes.size(); ++p) {
    if (done[p]) continue;
    std::vector<std::size_t> alike;
    for (std::size_t q = p; q < planes.size(); ++q) {
      if (std::memcmp(&planes[p], &planes[q], sizeof planes[p]) != 0) continue;
      alike.push_back(q);
      done[q] = true;
    }
    std::vector<BasePair> bases;
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      for (const std::size_t q : alike) {
        const std::size_t at = static_cast<std::size_t>(layer) * planes.size() + q;
        bases.push_back({src[at], dst[at]});
      }
    }
    kinds.push_back(copy_kind(planes[p], std::move(bases)));
  }
  return kinds;
}

bool CopyLaunch::inline_bases() const {
  return 2 * base_count + kIndicesBeside / 2 <= ACCEL_COPY_WORDS;
}

std::int64_t CopyLaunch::index_room() const {
  return 2 * (ACCEL_COPY_WORDS - (inline_bases() ? 2 * base_count : 0));
}

void set_table(CopyLaunch* launch, Address table) {
  if (!launch->inline_bases()) launch->args.head.table = table;
  if (launch->kernel == kRows16) launch->few_table = table;
}

unsigned CopyLaunch::size(accel_copy_args* out, std::int64_t units) const {
  unsigned tiles = 0;
  for (unsigned k = 0; k < out->head.kinds; ++k) {
    accel_copy_kind& kind = out->head.kind[k];
    const std::int64_t total = units * unit_vectors[k];
    const auto per_base =
        static_cast<unsigned>((total + tile_vectors[k] - 1) / tile_vectors[k]);
    kind.total = static_cast<unsigned>(total);
    kind.first_tile = tiles;
    kind.split = accel_quotient_by(kind.bases_inner ? kind.bases : per_base);
    tiles += per_base * kind.bases;
  }
  out->head.units = static_cast<unsigned>(units);
  out->head.tiles = tiles;
  return tiles;
}

std::vector<CopyLaunch> plan_launches(const std::vector<CopyKind>& kinds) {
  std::vector<CopyLaunch> launches;
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    const CopyKind& kind = kinds[k];
    CopyLaunch* launch = nullptr;
    for (CopyLaunch& known : launches) {
      if (known.kernel == kind.kernel && known.args.head.kinds < ACCEL_COPY_KINDS) launch = &known;
    }
    if (launch == nullptr) {
      launches.emplace_back();
      launch = &launches.back();
      launch->kernel = kind.kernel;
      launch->most_units = kMostCounted;
    }
    accel_copy_args& args = launch->args;
    const unsigned at = args.head.kinds++;
    args.head.kind[at] = kind.fields;
    args.head.kind[at].first_base = static_cast<unsigned>(launch->base_count);
    args.head.kind[at].bases = static_cast<unsigned>(kind.bases.size());
    launch->unit_vectors[at] = kind.unit_vectors;
    launch->tile_vectors[at] = kind.tile_vectors;
    const std::int64_t places = (kind.tile_vectors - 1) / kind.place_vectors + 2;
    launch->shared_bytes = std::max(launch->shared_bytes, static_cast<unsigned>(16 * places));
    launch->base_count += static_cast<std::int64_t>(kind.bases.size());
    launch->unit_bytes += kind.unit_bytes * static_cast<std::int64_t>(kind.bases.size());
    launch->order.insert(launch->order.end(), kind.bases.size(), k);
    launch->bases.insert(launch->bases.end(), kind.bases.begin(), kind.bases.end());
  }
  for (CopyLaunch& launch : launches) {
    for (unsigned k = 0; k < launch.args.head.kinds; ++k) {
      // A base's vectors, and all tiles, must be countable.
      launch.most_units = std::min(launch.most_units, kMostCounted / launch.unit_vectors[k]);
      const std::int64_t tiles = kMostCounted / (2 * launch.base_count) - 1;
      launch.most_units =
          std::min(launch.most_units, tiles * launch.tile_vectors[k] / launch.unit_vectors[k]);
    }
    launch.most_units = std::max<std::int64_t>(launch.most_units, 1);
    if (!launch.inline_bases()) continue;
    for (std::size_t i = 0; i < launch.bases.size(); ++i) {
      launch.args.words[2 * i] = launch.bases[i].src;
      launch.args.words[2 * i + 1] = launch.bases[i].dst;
    }
  }
  return launches;
}

std::vector<CopyLaunch> split_bases(const std::vector<CopyKind>& kinds, const CopyLaunch& launch) {
  constexpr std::size_t kMost = (ACCEL_COPY_WORDS - kIndicesBeside / 2) / 2;
  std::vector<CopyLaunch> parts;
  std::vector<std::size_t> which = launch.order;
  which.erase(std::unique(which.begin(), which.end()), which.end());
  for (const std::size_t k : which) {
    const auto& bases = kinds[k].bases;
    for (std::size_t at = 0; at < bases.size(); at += kMost) {
      CopyKind part = kinds[k];
      const std::size_t end = std::min(bases.size(), at + kMost);
      part.bases.assign(bases.begin() + static_cast<std::ptrdiff_t>(at),
                        bases.begin() + static_cast<std::ptrdiff_t>(end));
      for (CopyLaunch& made : plan_launches({part})) parts.push_back(std::move(made));
    }
  }
  return parts;
}

}  // namespace accel_cuda::kv
