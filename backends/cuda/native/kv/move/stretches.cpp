#include "stretches.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace accel_cuda::kv {
namespace {

// What kernels were chosen for: staging memory has more.
constexpr Address kStagingAlignment = 16;

// Bases of a piece: their addresses and its indices share the arguments of one launch.
constexpr std::int64_t kMostBases = 64;

struct HostSide {
  bool to_host;
  const accel_kv_paging& paging(const accel_kv_plane& p) const { return to_host ? p.dst : p.src; }
  accel_kv_paging& paging(accel_kv_plane& p) const { return to_host ? p.dst : p.src; }
  const accel_i64* strides(const accel_kv_plane& p) const {
    return to_host ? p.dst_stride : p.src_stride;
  }
};

// Whether a unit's runs are one piece of host memory.
bool unit_is_contiguous(const accel_kv_plane& plane, const HostSide& side) {
  std::vector<int> order(static_cast<std::size_t>(plane.ndim));
  std::iota(order.begin(), order.end(), 0);
  const accel_i64* const strides = side.strides(plane);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return strides[a] < strides[b]; });
  accel_i64 expected = plane.run_bytes;
  for (const int i : order) {
    if (strides[i] != expected) return false;
    expected *= plane.size[i];
  }
  return true;
}

std::vector<Stretch> find_stretches(const accel_kv_paging& paging,
                                    const std::vector<std::int64_t>& slots,
                                    std::int64_t unit_bytes) {
  std::vector<Stretch> found;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::int64_t offset = accel_kv_unit_offset(&paging, slots[i]);
    if (!found.empty() && offset == found.back().offset + found.back().count * unit_bytes) {
      ++found.back().count;
    } else {
      found.push_back({static_cast<std::int64_t>(i), 1, offset});
    }
  }
  return found;
}

// The plane with staging memory, whose units lie `step` bytes apart, in the host's place.
accel_kv_plane with_staging(const accel_kv_plane& plane, const HostSide& side, std::int64_t step) {
  accel_kv_plane staged = plane;
  side.paging(staged) = {1, step, 0};
  return staged;
}

void move_bases(StagedKind* kind, bool to_host, const std::vector<Address>& device,
                const std::vector<Address>& within) {
  kind->kind.bases.clear();
  for (std::size_t i = 0; i < device.size(); ++i) {
    kind->kind.bases.push_back(to_host ? BasePair{device[i], within[i]}
                                       : BasePair{within[i], device[i]});
  }
}

StagedKind make_kind(const accel_kv_plane& plane, const HostSide& side, std::int64_t step,
                     const std::vector<Address>& device, const std::vector<Address>& within,
                     std::int64_t aligned_to) {
  std::vector<BasePair> bases;  // with what is left of the alignment once pieces are placed
  for (std::size_t i = 0; i < device.size(); ++i) {
    const Address staging = within[i] | static_cast<Address>(aligned_to);
    bases.push_back(side.to_host ? BasePair{device[i], staging} : BasePair{staging, device[i]});
  }
  StagedKind kind;
  kind.kind = copy_kind(with_staging(plane, side, step), std::move(bases));
  move_bases(&kind, side.to_host, device, within);
  return kind;
}

// All planes' units as one: the host keeps every layer and plane of a unit together.
bool stage_by_unit(std::int64_t layers, const std::vector<accel_kv_plane>& planes,
                   const std::vector<Address>& device, const std::vector<Address>& host,
                   const HostSide& side, const std::vector<std::int64_t>& slots,
                   const std::vector<Address>& tensors, std::vector<StagedKind>* out) {
  const auto& paging = side.paging(planes[0]);
  std::int64_t all = 0;
  for (const accel_kv_plane& plane : planes) {
    if (std::memcmp(&plane, &planes[0], sizeof plane) != 0) return false;
    all += layers * plane.runs * plane.run_bytes;
  }
  const std::int64_t each = planes[0].runs * planes[0].run_bytes;
  const Address first = *std::min_element(host.begin(), host.end());
  std::vector<Address> within;
  for (const Address address : host) within.push_back(address - first);
  std::vector<Address> sorted = within;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != i * static_cast<Address>(each)) return false;
  }
  if (static_cast<std::int64_t>(host.size()) > kMostBases * 2) return false;
  const auto border = std::upper_bound(tensors.begin(), tensors.end(), first);
  if (border != tensors.end() && *border < first + static_cast<Address>(all)) return false;
  StagedKind kind = make_kind(planes[0], side, all, device, within, all);
  kind.host = {first};
  kind.unit_bytes = all;
  kind.by_unit = true;
  kind.stretches = find_stretches(paging, slots, all);
  out->push_back(std::move(kind));
  return true;
}

void stage_by_base(std::int64_t layers, const std::vector<accel_kv_plane>& planes,
                   const std::vector<Address>& device, const std::vector<Address>& host,
                   const HostSide& side, const std::vector<std::int64_t>& slots,
                   std::vector<StagedKind>* out) {
  std::vector<bool> done(planes.size());
  for (std::size_t p = 0; p < planes.size(); ++p) {
    if (done[p]) continue;
    std::vector<std::pair<Address, Address>> bases;  // host, device
    for (std::size_t q = p; q < planes.size(); ++q) {
      if (std::memcmp(&planes[p], &planes[q], sizeof planes[p]) != 0) continue;
      done[q] = true;
      for (std::int64_t layer = 0; layer < layers; ++layer) {
        const std::size_t at = static_cast<std::size_t>(layer) * planes.size() + q;
        bases.emplace_back(host[at], device[at]);
      }
    }
    std::sort(bases.begin(), bases.end());  // neighbours on the host can be joined
    std::vector<Address> there, here;
    for (const auto& [host_base, device_base] : bases) {
      there.push_back(host_base);
      here.push_back(device_base);
    }
    const std::int64_t each = planes[p].runs * planes[p].run_bytes;
    StagedKind kind =
        make_kind(planes[p], side, each, here, std::vector<Address>(here.size(), 0), each);
    kind.host = there;
    kind.unit_bytes = each;
    kind.stretches = find_stretches(side.paging(planes[p]), slots, each);
    out->push_back(std::move(kind));
  }
}

std::int64_t stretches_of(const std::vector<StagedKind>& kinds) {
  std::int64_t count = 0;
  for (const StagedKind& kind : kinds) count += kind.stretch_count();
  return count;
}

}  // namespace

std::vector<StagedKind> staged_kinds(std::int64_t layers, const std::vector<accel_kv_plane>& planes,
                                     const std::vector<Address>& src,
                                     const std::vector<Address>& dst, bool to_host,
                                     const std::vector<std::int64_t>& slots,
                                     std::vector<Address> tensors) {
  const HostSide side{to_host};
  for (const accel_kv_plane& plane : planes) {
    if (!unit_is_contiguous(plane, side)) return {};
  }
  const auto& device = to_host ? src : dst;
  const auto& host = to_host ? dst : src;
  std::sort(tensors.begin(), tensors.end());
  std::vector<StagedKind> by_base, by_unit;
  stage_by_base(layers, planes, device, host, side, slots, &by_base);
  const bool units_stay = stage_by_unit(layers, planes, device, host, side, slots, tensors, &by_unit);
  std::vector<StagedKind>& fewer =
      units_stay && stretches_of(by_unit) < stretches_of(by_base) ? by_unit : by_base;
  for (StagedKind& kind : fewer) kind.borders = tensors;
  return std::move(fewer);
}

std::vector<Piece> cut_pieces(const std::vector<StagedKind>& kinds, std::int64_t units,
                              const PieceSizes& given, bool last_small) {
  std::vector<Piece> pieces;
  std::int64_t done = 0;  // bytes
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const std::size_t k = last_small ? kinds.size() - 1 - i : i;
    const StagedKind& kind = kinds[k];
    const std::int64_t rows = kind.by_unit ? 1 : kind.bases(), row = kind.unit_bytes * units;
    for (std::int64_t base = 0, unit = 0; base < rows;) {
      const std::int64_t size = std::min(std::max(given.first, given.growth * done), given.most);
      Piece piece{k, base, 1, unit, 0, 0};
      if (unit == 0 && size >= row) {  // whole bases
        piece.bases = std::min({size / row, rows - base, kMostBases});
        piece.units = units;
        base += piece.bases;
      } else {
        piece.units = std::clamp<std::int64_t>(size / kind.unit_bytes, 1, units - unit);
        unit += piece.units;
        if (unit == units) {
          unit = 0;
          ++base;
        }
      }
      piece.bytes = piece.bases * piece.units * kind.unit_bytes;
      done += piece.bytes;
      if (last_small) {  // the same from the other end
        piece.base = rows - piece.base - piece.bases;
        piece.unit = units - piece.unit - piece.units;
      }
      if (kind.by_unit) piece.bases = kind.bases();
      pieces.push_back(piece);
    }
  }
  if (last_small) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<Address> host_places(const StagedKind& kind, const Piece& piece) {
  const std::int64_t rows = kind.by_unit ? 1 : piece.bases;
  const auto stretch = std::partition_point(
      kind.stretches.begin(), kind.stretches.end(),
      [&](const Stretch& s) { return s.first + s.count <= piece.unit; });
  if (piece.unit + piece.units > stretch->first + stretch->count) return {};
  const std::int64_t offset =
      stretch->offset + (piece.unit - stretch->first) * kind.unit_bytes;
  std::vector<Address> places;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::size_t at = static_cast<std::size_t>(kind.by_unit ? 0 : piece.base + row);
    places.push_back(kind.host[at] + static_cast<Address>(offset));
    if (places.back() % kStagingAlignment != 0) return {};
  }
  return places;
}

std::vector<HostCopy> piece_copies(const StagedKind& kind, const Piece& piece) {
  std::vector<HostCopy> copies;
  const std::int64_t rows = kind.by_unit ? 1 : piece.bases;
  const std::int64_t end = piece.unit + piece.units;
  for (std::int64_t row = 0; row < rows; ++row) {
    const Address host = kind.host[static_cast<std::size_t>(kind.by_unit ? 0 : piece.base + row)];
    auto stretch = std::partition_point(
        kind.stretches.begin(), kind.stretches.end(),
        [&](const Stretch& s) { return s.first + s.count <= piece.unit; });
    for (; stretch != kind.stretches.end() && stretch->first < end; ++stretch) {
      const std::int64_t from = std::max(piece.unit, stretch->first);
      const std::int64_t to = std::min(end, stretch->first + stretch->count);
      const HostCopy copy{
          (row * piece.units + from - piece.unit) * kind.unit_bytes,
          host + static_cast<Address>(stretch->offset + (from - stretch->first) * kind.unit_bytes),
          (to - from) * kind.unit_bytes};
      if (!copies.empty() && !std::binary_search(kind.borders.begin(), kind.borders.end(), copy.host) &&
          copies.back().host + static_cast<Address>(copies.back().bytes) == copy.host &&
          copies.back().staging + copies.back().bytes == copy.staging) {
        copies.back().bytes += copy.bytes;
      } else {
        copies.push_back(copy);
      }
    }
  }
  return copies;
}

}  // namespace accel_cuda::kv
