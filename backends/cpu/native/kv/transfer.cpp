#include "transfer.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "box.hpp"
#include "runtime/copy_bytes.hpp"
#include "runtime/parallel.hpp"

namespace accel_cpu::kv {
namespace {

// Below this a second thread costs more than it brings.
constexpr std::int64_t kParallelBytes = 256 << 10;
// What one item of parallel work should at least move.
constexpr std::int64_t kItemBytes = 64 << 10;
// Neighbouring units are joined up to this many bytes of a plane: long enough for any loop, short
// enough to share out.
constexpr std::int64_t kSpanBytes = 128 << 10;
// With short runs, the joined units' lines should stay in L1 while they are transposed.
constexpr std::int64_t kShortRunSpanBytes = 32 << 10;
constexpr std::int64_t kShortRun = 64;

// Lines are asked for this long before they are copied, where units are small enough to look ahead.
constexpr std::size_t kBytesAhead = 4096;
std::atomic<std::int64_t> streaming_bytes{-1}, parallel_bytes{-1};  // see Policy

// Destinations closer than this come up in order, and their pages with them.
constexpr accel_i64 kNearby = 32 << 10;

// Source and destination no longer fit the last-level cache together. What the C library reports is
// the sum over all sockets of the host on some virtual machines, so the kernel is asked as well.
std::int64_t default_streaming_bytes() {
  static const std::int64_t bytes = [] {
    auto smallest = static_cast<std::int64_t>(streaming_threshold());
    for (int level = 3; level >= 2; --level) {
      const auto index = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(level);
      std::ifstream file(index + "/size");
      std::int64_t size = 0;
      char unit = 0;
      if (!(file >> size >> unit) || size <= 0) continue;
      size <<= unit == 'K' ? 10 : unit == 'M' ? 20 : 0;
      smallest = std::min(smallest, size / 2);
      break;
    }
    return smallest;
  }();
  return bytes;
}

// Units that follow one another on both sides. Offsets in bytes from the plane's base.
struct Span {
  accel_i64 src, dst, count;
};

accel_i64 step(const accel_kv_paging& p) {
  return p.block_size == 1 ? p.block_stride : p.slot_stride;
}

class PlaneWork {
 public:
  PlaneWork(const accel_kv_plane& plane, const accel::SlotPairs& pairs, bool streaming)
      : plane_(plane),
        src_step_(step(plane.src)),
        dst_step_(step(plane.dst)),
        streaming_(streaming) {
    list_spans(pairs);
    const auto unit = static_cast<std::size_t>(plane_.runs * plane_.run_bytes);
    ahead_ = std::clamp<std::size_t>(kBytesAhead / unit, 1, 16);
    single_ = Mover(neighbouring_units(plane_, 1, src_step_, dst_step_), streaming_);
  }

  const std::vector<Span>& spans() const { return spans_; }
  bool same_as(const accel_kv_plane& other) const {
    return std::memcmp(&plane_, &other, sizeof other) == 0;
  }

  void move(char* dst, const char* src, std::size_t begin, std::size_t end) const {
    Mover several;
    accel_i64 several_count = 0;
    const std::size_t batch = streaming_ ? single_.touch_batch() : 0;
    if (batch != 0) touch(dst, src, begin, std::min(end, begin + batch));
    for (std::size_t i = begin; i < end; ++i) {
      if (batch != 0 && (i - begin) % batch == 0) {
        touch(dst, src, std::min(end, i + batch), std::min(end, i + 2 * batch));
      }
      const Span& span = spans_[i];
      const Span& soon = spans_[std::min(i + ahead_, end - 1)];
      const Mover* mover = &single_;
      if (span.count > 1) {
        if (span.count != several_count) {
          several_count = span.count;
          several = Mover(neighbouring_units(plane_, span.count, src_step_, dst_step_), streaming_);
        }
        mover = &several;
      }
      (*mover)(dst + span.dst, src + span.src, static_cast<std::ptrdiff_t>(soon.src - span.src));
    }
  }

 private:
  void touch(const char* dst, const char* src, std::size_t begin, std::size_t end) const {
    for (std::size_t i = begin; i < end; ++i) {
      const Span& span = spans_[i];
      const accel_i64 moved = i == 0 ? 0 : span.dst - spans_[i - 1].dst;
      single_.touch(dst + span.dst, src + span.src, moved > kNearby || moved < -kNearby);
    }
  }

  void list_spans(const accel::SlotPairs& pairs) {
    const accel_i64 unit = plane_.runs * plane_.run_bytes;
    const accel_i64 target = plane_.run_bytes < kShortRun ? kShortRunSpanBytes : kSpanBytes;
    const accel_i64 most = std::max<accel_i64>(1, target / unit);
    spans_.reserve(pairs.src.size());
    for (std::size_t i = 0; i < pairs.src.size(); ++i) {
      const accel_i64 src = accel_kv_unit_offset(&plane_.src, pairs.src[i]);
      const accel_i64 dst = accel_kv_unit_offset(&plane_.dst, pairs.dst[i]);
      if (i > 0) {
        Span& last = spans_.back();
        if (last.count < most && src == last.src + last.count * src_step_ &&
            dst == last.dst + last.count * dst_step_) {
          ++last.count;
          continue;
        }
      }
      spans_.push_back({src, dst, 1});
    }
  }

  const accel_kv_plane plane_;
  const accel_i64 src_step_, dst_step_;
  const bool streaming_;
  std::vector<Span> spans_;
  std::size_t ahead_ = 1;  // in spans
  Mover single_;
};

}  // namespace

std::int64_t Bound::unit_bytes() const {
  std::int64_t n = 0;
  for (const auto& plane : planes) n += plane.runs * plane.run_bytes;
  return n * layers;
}

Bound fold_layers(Bound bound) {
  const auto planes = bound.planes.size();
  if (bound.layers < 2) return bound;
  std::vector<accel_kv_plane> folded;
  for (std::size_t p = 0; p < planes; ++p) {
    accel_kv_plane plane = bound.planes[p];
    if (plane.ndim == ACCEL_KV_MAX_DIMS) return bound;
    // Differences of addresses; arithmetic modulo 2^64 makes them signed.
    const auto src = static_cast<accel_i64>(bound.src[planes + p] - bound.src[p]);
    const auto dst = static_cast<accel_i64>(bound.dst[planes + p] - bound.dst[p]);
    for (std::size_t i = planes + p; i < bound.src.size(); i += planes) {
      if (static_cast<accel_i64>(bound.src[i] - bound.src[i - planes]) != src) return bound;
      if (static_cast<accel_i64>(bound.dst[i] - bound.dst[i - planes]) != dst) return bound;
    }
    const bool near = (src > 0 && src < step(plane.src)) || (dst > 0 && dst < step(plane.dst));
    if (!near) return bound;
    accel_i64 at = 0;
    while (at < plane.ndim && plane.dst_stride[at] > dst) ++at;
    for (accel_i64 i = plane.ndim; i > at; --i) {
      plane.size[i] = plane.size[i - 1];
      plane.src_stride[i] = plane.src_stride[i - 1];
      plane.dst_stride[i] = plane.dst_stride[i - 1];
    }
    plane.size[at] = bound.layers;
    plane.src_stride[at] = src;
    plane.dst_stride[at] = dst;
    ++plane.ndim;
    plane.runs *= bound.layers;
    folded.push_back(plane);
  }
  bound.planes = std::move(folded);
  bound.src.resize(planes);
  bound.dst.resize(planes);
  bound.layers = 1;
  return bound;
}

Policy set_policy(Policy policy) {
  return {streaming_bytes.exchange(policy.streaming_bytes),
          parallel_bytes.exchange(policy.parallel_bytes)};
}

Policy current_policy() {
  return {streaming_bytes.load(std::memory_order_relaxed),
          parallel_bytes.load(std::memory_order_relaxed)};
}

bool streams(std::int64_t bytes, std::int64_t otherwise) {
  const std::int64_t set = streaming_bytes.load(std::memory_order_relaxed);
  const std::int64_t usual = otherwise < 0 ? default_streaming_bytes() : otherwise;
  return bytes >= (set < 0 ? usual : set);
}

void transfer(const Bound& bound, const accel::SlotPairs& pairs) {
  if (pairs.src.empty()) return;
  const auto bytes = bound.unit_bytes() * static_cast<std::int64_t>(pairs.src.size());
  const auto reaches = [bytes](const std::atomic<std::int64_t>& set, std::int64_t otherwise) {
    const std::int64_t value = set.load(std::memory_order_relaxed);
    return bytes >= (value < 0 ? otherwise : value);
  };
  const bool streaming = streams(bytes);
  std::vector<PlaneWork> work;
  std::vector<std::size_t> work_of;       // plane -> work; planes alike share it
  std::vector<std::size_t> first_item{0};  // items of one layer, by plane
  work.reserve(bound.planes.size());
  for (const auto& plane : bound.planes) {
    const auto known = std::find_if(work.begin(), work.end(),
                                    [&](const PlaneWork& w) { return w.same_as(plane); });
    work_of.push_back(static_cast<std::size_t>(known - work.begin()));
    if (known == work.end()) work.emplace_back(plane, pairs, streaming);
    first_item.push_back(first_item.back() + work[work_of.back()].spans().size());
  }
  const std::size_t per_layer = first_item.back();
  const std::size_t items = per_layer * static_cast<std::size_t>(bound.layers);
  const auto body = [&](std::size_t begin, std::size_t end) {
    while (begin < end) {
      const std::size_t layer = begin / per_layer, within = begin % per_layer;
      const auto after = std::upper_bound(first_item.begin(), first_item.end(), within);
      const auto plane = static_cast<std::size_t>(after - first_item.begin()) - 1;
      const std::size_t stop = std::min(end, layer * per_layer + *after);
      const std::size_t at = layer * bound.planes.size() + plane;
      const std::size_t span = within - first_item[plane];
      work[work_of[plane]].move(reinterpret_cast<char*>(bound.dst[at]),
                                reinterpret_cast<const char*>(bound.src[at]), span,
                                span + (stop - begin));
      begin = stop;
    }
    if (streaming) streaming_fence();
  };
  if (!reaches(parallel_bytes, kParallelBytes)) {
    body(0, items);
    return;
  }
  const auto each = std::max<std::int64_t>(1, bytes / static_cast<std::int64_t>(items));
  parallel_for(items, static_cast<std::size_t>(std::max<std::int64_t>(1, kItemBytes / each)), body);
}

}  // namespace accel_cpu::kv
