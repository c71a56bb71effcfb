#include "elements.hpp"

#include <algorithm>
#include <cstring>

#include "box.hpp"
#include "leaf.hpp"
#include "runtime/parallel.hpp"
#include "transfer.hpp"

namespace accel_cpu::kv {
namespace {

using numeric::kTile;
using numeric::RowKernels;

// Elements from which several threads pay, and that each should have at least.
constexpr std::int64_t kParallelElements = 64 << 10;
constexpr std::int64_t kGrainElements = 16 << 10;
// From so many bytes on a write goes past the caches: fetching scattered lines only to overwrite
// them takes three times as long as the arithmetic.
constexpr std::int64_t kStreamedWrite = 256 << 10;
constexpr float kOne = 1.0f;
constexpr std::size_t kLineBytes = kLine;
// The lines of so many elements are asked for at once, ahead of computing them.
constexpr std::int64_t kBatchElements = 4096;
// Runs of as many elements are loaded and stored one by one; shorter ones pass through a buffer.
constexpr std::size_t kDirectRun = 64;

template <std::size_t Bytes>
void gather_runs(char* to, const char* from, const accel_i64* starts, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) std::memcpy(to + i * Bytes, from + starts[i], Bytes);
}

template <std::size_t Bytes>
void scatter_runs(char* to, const char* from, const accel_i64* starts, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) std::memcpy(to + starts[i], from + i * Bytes, Bytes);
}

// n runs of `bytes` bytes, from where they lie to one after another.
void gather(char* to, const char* from, const accel_i64* starts, std::size_t n, std::size_t bytes) {
  switch (bytes) {
    case 1: return gather_runs<1>(to, from, starts, n);
    case 2: return gather_runs<2>(to, from, starts, n);
    case 4: return gather_runs<4>(to, from, starts, n);
    case 8: return gather_runs<8>(to, from, starts, n);
    case 16: return gather_runs<16>(to, from, starts, n);
    case 32: return gather_runs<32>(to, from, starts, n);
    default:
      for (std::size_t i = 0; i < n; ++i) std::memcpy(to + i * bytes, from + starts[i], bytes);
  }
}

// And back.
void scatter(char* to, const char* from, const accel_i64* starts, std::size_t n,
             std::size_t bytes) {
  switch (bytes) {
    case 1: return scatter_runs<1>(to, from, starts, n);
    case 2: return scatter_runs<2>(to, from, starts, n);
    case 4: return scatter_runs<4>(to, from, starts, n);
    case 8: return scatter_runs<8>(to, from, starts, n);
    case 16: return scatter_runs<16>(to, from, starts, n);
    case 32: return scatter_runs<32>(to, from, starts, n);
    default:
      for (std::size_t i = 0; i < n; ++i) std::memcpy(to + starts[i], from + i * bytes, bytes);
  }
}

accel_kv_paging times(accel_kv_paging paging, accel_i64 bytes) {
  paging.block_stride *= bytes;
  paging.slot_stride *= bytes;
  return paging;
}

accel_kv_plane times(accel_kv_plane plane, accel_i64 bytes) {
  plane.src = times(plane.src, bytes);
  plane.dst = times(plane.dst, bytes);
  plane.run_bytes *= bytes;
  for (accel_i64 i = 0; i < plane.ndim; ++i) {
    plane.src_stride[i] *= bytes;
    plane.dst_stride[i] *= bytes;
  }
  return plane;
}

accel_i64 bytes_of(Kind kind) { return static_cast<accel_i64>(numeric::size_of(kind)); }

// Units for a thread at least, or all of them.
std::size_t grain_of(std::int64_t units, std::int64_t elements_of_unit) {
  const std::int64_t set = current_policy().parallel_bytes;
  const std::int64_t least = set < 0 ? kParallelElements : set;
  if (units * elements_of_unit < least) return static_cast<std::size_t>(units);
  return static_cast<std::size_t>(std::max<std::int64_t>(1, kGrainElements / elements_of_unit));
}

}  // namespace

ElementPlane::ElementPlane(const accel_kv_elements& plan, Kind src, Kind dst) : plan_(plan) {
  const accel_i64 src_size = bytes_of(src), dst_size = bytes_of(dst);
  std::vector<Dim> dims;
  const auto ndim = static_cast<std::size_t>(plan.plane.ndim);
  for (std::size_t i = 0; i < ndim; ++i) {
    dims.push_back({plan.plane.size[i], plan.plane.src_stride[i] * src_size,
                    plan.plane.dst_stride[i] * dst_size, plan.src_head[i], plan.dst_head[i]});
  }
  if (plan.plane.run_bytes > 1) dims.push_back({plan.plane.run_bytes, src_size, dst_size, 0, 0});
  // The innermost axes of one scale, as many as fit.
  std::size_t inside = dims.size();
  while (inside > 0) {
    const Dim& dim = dims[inside - 1];
    const std::size_t longer = length_ * static_cast<std::size_t>(dim.size);
    if (dim.src_head != 0 || dim.dst_head != 0 || (longer > kTile && length_ > 1)) break;
    length_ = longer;
    --inside;
    if (length_ > kTile) break;
  }
  const std::size_t pieces = (length_ + kTile - 1) / kTile;
  piece_ = pieces == 1 ? length_ : ((length_ + pieces - 1) / pieces + 63) / 64 * 64;
  const std::vector<Dim> tile(dims.begin() + static_cast<std::ptrdiff_t>(inside), dims.end());
  outer_.assign(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(inside));
  src_ = lay_out(src, tile, &Dim::src);
  dst_ = lay_out(dst, tile, &Dim::dst);
  const accel_kv_paging& paging = plan_.plane.dst;
  auto steps = static_cast<accel_i64>(std::min(length_, dst_.run) * dst_.size);
  for (const Dim& dim : outer_) steps |= dim.dst;
  for (const accel_i64 start : dst_.starts) steps |= start;
  steps |= (paging.block_stride | paging.slot_stride) * dst_size;
  steps |= static_cast<accel_i64>(length_) * dst_size;
  whole_lines_ = steps % kLine == 0;
  const auto tile_bytes = static_cast<accel_i64>(length_ * src_.size);
  jumps_ = src_.starts.size() > 1 || (!outer_.empty() && outer_.back().src != tile_bytes);
}

ElementPlane::Side ElementPlane::lay_out(Kind kind, const std::vector<Dim>& dims,
                                         accel_i64 Dim::*stride) const {
  Side side;
  side.kind = kind;
  side.size = numeric::size_of(kind);
  if (length_ > piece_) {  // one axis
    const Dim& axis = dims.back();
    side.piece = axis.*stride * static_cast<accel_i64>(piece_);
    if (axis.*stride == bytes_of(kind)) {
      side.run = piece_;
      side.starts = {0};
    } else {
      for (std::size_t i = 0; i < piece_; ++i) {
        side.starts.push_back(static_cast<accel_i64>(i) * (axis.*stride));
      }
    }
    return side;
  }
  std::size_t within = dims.size();
  while (within > 0 && dims[within - 1].*stride == static_cast<accel_i64>(side.run * side.size)) {
    side.run *= static_cast<std::size_t>(dims[--within].size);
  }
  side.starts = {0};
  for (std::size_t d = 0; d < within; ++d) {
    std::vector<accel_i64> finer;
    for (const accel_i64 start : side.starts) {
      for (accel_i64 i = 0; i < dims[d].size; ++i) finer.push_back(start + i * (dims[d].*stride));
    }
    side.starts = std::move(finer);
  }
  return side;
}

void ElementPlane::Side::load(const RowKernels& rows, const char* from, std::size_t n,
                              float* to) const {
  const auto load = rows.load[static_cast<int>(kind)];
  if (starts.size() == 1) return load(from, n, to);
  if (run >= kDirectRun) {
    for (std::size_t i = 0; i < starts.size(); ++i) load(from + starts[i], run, to + i * run);
    return;
  }
  alignas(64) char packed[kTile * sizeof(float)];
  gather(packed, from, starts.data(), n / run, run * size);
  load(packed, n, to);
}

void ElementPlane::Side::store(const RowKernels& rows, const float* from, std::size_t n, char* to,
                               bool streaming) const {
  const auto store = rows.store[static_cast<int>(kind)];
  if (streaming) {  // runs of whole lines
    static const LeafLoop stream_out = streamed_lines();
    alignas(kLine) char packed[kTile * sizeof(float)];
    store(from, n, packed);
    Leaf lines;
    lines.run = static_cast<accel_i64>(std::min(n, run) * size);
    const char* next = packed;
    for (const accel_i64 start : starts) {
      stream_out(lines, to + start, next, 0);
      next += lines.run;
    }
    return;
  }
  if (starts.size() == 1) return store(from, n, to);
  if (run >= kDirectRun) {
    for (std::size_t i = 0; i < starts.size(); ++i) store(from + i * run, run, to + starts[i]);
    return;
  }
  alignas(64) char packed[kTile * sizeof(float)];
  store(from, n, packed);
  scatter(to, packed, starts.data(), n / run, run * size);
}

void ElementPlane::convert_tile(const RowKernels& rows, const char* src, char* dst, float multiply,
                                float divide, bool streaming) const {
  alignas(64) float row[kTile];
  const bool plain = multiply == 1.0f && divide == 1.0f;
  for (std::size_t done = 0; done < length_; done += piece_) {
    const std::size_t n = std::min(piece_, length_ - done);
    if (plain && src_.is_row_of_floats()) {
      dst_.store(rows, reinterpret_cast<const float*>(src), n, dst, streaming);
    } else if (plain && dst_.is_row_of_floats() && !streaming) {
      src_.load(rows, src, n, reinterpret_cast<float*>(dst));
    } else {
      src_.load(rows, src, n, row);
      if (multiply != 1.0f) rows.multiply(row, n, multiply);
      if (divide != 1.0f) rows.divide(row, n, divide);
      dst_.store(rows, row, n, dst, streaming);
    }
    src += src_.piece;
    dst += dst_.piece;
  }
}

accel_i64 ElementPlane::src_offset(std::int64_t unit) const {
  return accel_kv_unit_offset(&plan_.plane.src, unit) * static_cast<accel_i64>(src_.size);
}

void ElementPlane::prefetch_tile(const char* src) const {
  const std::size_t bytes = std::min(length_, src_.run) * src_.size;
  for (const accel_i64 start : src_.starts) {
    for (std::size_t at = 0; at < bytes; at += kLineBytes) {
      __builtin_prefetch(src + start + at, 0, 3);
    }
  }
}

template <class F>
void ElementPlane::each_tile(const char* src, char* dst, const float* multiply,
                             const float* divide, F&& body) const {
  accel_i64 index[ACCEL_KV_MAX_DIMS + 1] = {};
  const int ndim = static_cast<int>(outer_.size());
  const accel_i64 src_heads = multiply == nullptr ? 0 : 1, dst_heads = divide == nullptr ? 0 : 1;
  if (multiply == nullptr) multiply = &kOne;
  if (divide == nullptr) divide = &kOne;
  for (;;) {
    body(src, dst, *multiply, *divide);
    int d = ndim - 1;
    for (;; --d) {
      if (d < 0) return;
      const Dim& dim = outer_[static_cast<std::size_t>(d)];
      src += dim.src;
      dst += dim.dst;
      multiply += src_heads * dim.src_head;
      divide += dst_heads * dim.dst_head;
      if (++index[d] < dim.size) break;
      src -= dim.size * dim.src;
      dst -= dim.size * dim.dst;
      multiply -= src_heads * dim.size * dim.src_head;
      divide -= dst_heads * dim.size * dim.dst_head;
      index[d] = 0;
    }
  }
}

void ElementPlane::convert(const RowKernels& rows, const char* src, std::int64_t src_unit,
                           std::int64_t src_next, char* dst, std::int64_t dst_unit,
                           const float* multiply, const float* divide, bool streaming) const {
  const accel_i64 offset = src_offset(src_unit);
  const bool asks = jumps_ && src_.run * src_.size >= kLineBytes;
  const accel_i64 ahead = asks ? src_offset(src_next) - offset : 0;
  dst += accel_kv_unit_offset(&plan_.plane.dst, dst_unit) * static_cast<accel_i64>(dst_.size);
  each_tile(src + offset, dst, multiply, divide,
            [&](const char* from, char* to, float by, float of) {
              if (ahead != 0) prefetch_tile(from + ahead);
              convert_tile(rows, from, to, by, of, streaming);
            });
}

void ElementPlane::expect(char* dst, std::int64_t unit, bool translation) const {
  dst += accel_kv_unit_offset(&plan_.plane.dst, unit) * static_cast<accel_i64>(dst_.size);
  const std::size_t bytes = translation ? 1 : std::min(length_, dst_.run) * dst_.size;
  // So many runs that asking takes longer than waiting.
  if (dst_.run * dst_.size < kLineBytes / 4) return;
  each_tile(dst, dst, nullptr, nullptr, [&](const char*, char* to, float, float) {
    for (const accel_i64 start : dst_.starts) {
      for (std::size_t at = 0; at < bytes; at += kLineBytes) {
        __builtin_prefetch(to + start + at, 1, 3);
      }
    }
  });
}

bool ElementPlane::can_stream(const void* dst) const {
  return whole_lines_ && reinterpret_cast<std::uintptr_t>(dst) % kLineBytes == 0;
}

accel_kv_plane ElementPlane::src_bytes() const { return times(plan_.plane, bytes_of(src_.kind)); }
accel_kv_plane ElementPlane::dst_bytes() const { return times(plan_.plane, bytes_of(dst_.kind)); }

void write_elements(const std::vector<ElementPlane>& planes, const std::vector<std::uintptr_t>& src,
                    const std::vector<std::uintptr_t>& dst, const accel::SlotPairs& pairs,
                    const std::vector<ScaleTable>& scales) {
  const RowKernels& rows = numeric::rows();
  std::int64_t elements = 0, written = 0;
  for (const auto& plane : planes) {
    elements += plane.elements();
    written += plane.dst_unit_bytes();
  }
  const std::size_t n = pairs.src.size();
  const bool large = streams(written * static_cast<std::int64_t>(n), kStreamedWrite);
  const auto body = [&](std::size_t begin, std::size_t end) {
    for (std::size_t p = 0; p < planes.size(); ++p) {
      const auto* from = reinterpret_cast<const char*>(src[p]);
      auto* to = reinterpret_cast<char*>(dst[p]);
      const bool streaming = large && planes[p].can_stream(to);
      const auto batch = static_cast<std::size_t>(
          std::clamp<std::int64_t>(kBatchElements / planes[p].elements(), 1, 16));
      const auto ask = [&](std::size_t first) {
        for (std::size_t i = first; i < std::min(end, first + batch); ++i) {
          planes[p].expect(to, pairs.dst[i], streaming);
        }
      };
      ask(begin);
      for (std::size_t i = begin; i < end; ++i) {
        if ((i - begin) % batch == 0) ask(i + batch);
        planes[p].convert(rows, from, pairs.src[i], pairs.src[std::min(i + 1, end - 1)], to,
                          pairs.dst[i], nullptr, scales[p].row(i), streaming);
      }
    }
    if (large) streaming_fence();
  };
  parallel_for(n, grain_of(static_cast<std::int64_t>(n), elements), body);
}

void convert_elements(const std::vector<ElementPlane>& planes,
                      const std::vector<std::uintptr_t>& src,
                      const std::vector<std::uintptr_t>& dst, std::int64_t units,
                      const ScaleTable& multiply, const ScaleTable& divide) {
  if (units == 0) return;
  const RowKernels& rows = numeric::rows();
  const auto per_place = static_cast<std::size_t>(units);  // a place is a plane of a layer
  std::int64_t largest = 1, written = 0;
  for (const auto& plane : planes) {
    largest = std::max(largest, plane.elements());
    written += plane.dst_unit_bytes();
  }
  const auto layers = static_cast<std::int64_t>(src.size() / planes.size());
  const bool large = streams(written * units * layers);
  const auto body = [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t place = i / per_place;
      const auto unit = static_cast<std::int64_t>(i % per_place);
      const ElementPlane& plane = planes[place % planes.size()];
      auto* to = reinterpret_cast<char*>(dst[place]);
      plane.convert(rows, reinterpret_cast<const char*>(src[place]), unit,
                    std::min(unit + 1, units - 1), to, unit, multiply.row(place),
                    divide.row(place), large && plane.can_stream(to));
    }
    if (large) streaming_fence();
  };
  const std::size_t n = src.size() * per_place;
  parallel_for(n, grain_of(static_cast<std::int64_t>(n), largest), body);
}

}  // namespace accel_cpu::kv
