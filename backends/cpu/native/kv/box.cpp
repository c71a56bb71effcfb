#include "box.hpp"

#include <algorithm>

#include "leaf.hpp"

namespace accel_cpu::kv {
namespace {

// A run this long is streamed whatever its alignment; a tile this large pays for the detour.
constexpr accel_i64 kLongRun = 512;
// Translations under way at once; more would push each other out.
constexpr accel_i64 kTouches = 16;
// The tile lies in L1 or L2 while it is gathered and streamed out.
constexpr accel_i64 kTileBytes = 32 << 10;

char* tile_memory() {
  alignas(kLine) static thread_local char memory[kTileBytes];
  return memory;
}

}  // namespace

accel_i64 Box::bytes() const {
  accel_i64 n = run;
  for (int i = 0; i < ndim; ++i) n *= size[i];
  return n;
}

Box neighbouring_units(const accel_kv_plane& plane, accel_i64 count, accel_i64 src_step,
                       accel_i64 dst_step) {
  Box box;
  box.run = plane.run_bytes;
  const int ndim = static_cast<int>(plane.ndim);
  const bool joins = count > 1 && src_step == box.run && dst_step == box.run;
  bool placed = count == 1 || joins;
  auto push = [&box](accel_i64 n, accel_i64 s, accel_i64 d) {
    const int last = box.ndim - 1;
    if (last >= 0 && box.src[last] == n * s && box.dst[last] == n * d) {
      box.size[last] *= n;
      box.src[last] = s;
      box.dst[last] = d;
    } else {
      box.size[box.ndim] = n;
      box.src[box.ndim] = s;
      box.dst[box.ndim++] = d;
    }
  };
  for (int i = 0; i < ndim; ++i) {
    if (!placed && dst_step >= plane.dst_stride[i]) {
      push(count, src_step, dst_step);
      placed = true;
    }
    push(plane.size[i], plane.src_stride[i], plane.dst_stride[i]);
  }
  if (!placed) push(count, src_step, dst_step);
  if (joins) box.run *= count;
  while (box.ndim > 0 && box.src[box.ndim - 1] == box.run && box.dst[box.ndim - 1] == box.run) {
    box.run *= box.size[--box.ndim];
  }
  return box;
}

void Mover::Outer::push(accel_i64 n, accel_i64 s, accel_i64 d) {
  size[ndim] = n;
  src[ndim] = s;
  dst[ndim++] = d;
}

template <class To, class F>
void Mover::Outer::each(To* to, const char* from, F&& body) const {
  if (ndim == 0) {
    body(to, from);
    return;
  }
  accel_i64 index[kMaxDims] = {};
  for (;;) {
    body(to, from);
    int i = ndim - 1;
    for (;; --i) {
      to += dst[i];
      from += src[i];
      if (++index[i] < size[i]) break;
      to -= size[i] * dst[i];
      from -= size[i] * src[i];
      index[i] = 0;
      if (i == 0) return;
    }
  }
}

Mover::Mover(const Box& box, bool streaming) {
  accel_i64 bits = box.run;  // all that must be whole lines for every run to start on one
  for (int i = 0; i < box.ndim; ++i) bits |= box.dst[i];
  const bool whole_lines = bits % kLine == 0;
  leaf_.run = box.run;
  int first = 0;  // dimensions before this one lie around the tile
  if (streaming && box.run < kLongRun && !whole_lines) {
    accel_i64 dense = box.run;
    int from = box.ndim;
    while (from > 0 && box.dst[from - 1] == dense && dense * box.size[from - 1] <= kTileBytes) {
      dense *= box.size[--from];
    }
    if (dense >= kLongRun) {
      staged_ = dense;
      first = from;
      for (int i = 0; i < first; ++i) around_.push(box.size[i], box.src[i], box.dst[i]);
    }
  }
  // The leaf: two dimensions of a transposition, or the innermost one.
  int p = -1, q = -1;
  const LeafLoop transposition = transposed(box.run);
  if (transposition != nullptr) {
    for (int i = first; i < box.ndim; ++i) {
      if (box.src[i] == box.run) p = i;
      if (box.dst[i] == box.run) q = i;
    }
  }
  const bool transposes = p >= 0 && q >= 0 && p != q;
  const int inner = box.ndim - 1;
  for (int i = first; i < box.ndim; ++i) {
    if (transposes ? i != p && i != q : i != inner) {
      outer_.push(box.size[i], box.src[i], box.dst[i]);
    }
  }
  if (transposes) {
    leaf_.n = box.size[p];
    leaf_.src = box.src[p];
    leaf_.dst = box.dst[p];
    leaf_.m = box.size[q];
    leaf_.m_src = box.src[q];
    leaf_.m_dst = box.dst[q];
    loop_ = unaligned_loop_ = transposition;
    return;
  }
  if (inner >= first) {
    leaf_.n = box.size[inner];
    leaf_.src = box.src[inner];
    leaf_.dst = box.dst[inner];
  }
  loop_ = unaligned_loop_ = plain_runs(box.run);
  if (streaming && staged_ == 0) {
    if (box.run >= kLongRun) {
      loop_ = unaligned_loop_ = streamed_runs();
    } else if (whole_lines) {
      loop_ = streamed_lines();
    }
  }
}

void Mover::operator()(char* dst, const char* src, std::ptrdiff_t ahead) const {
  if (staged_ == 0) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(dst) % kLine == 0;
    const LeafLoop loop = aligned ? loop_ : unaligned_loop_;
    outer_.each(dst, src, [&](char* d, const char* s) { loop(leaf_, d, s, ahead); });
    return;
  }
  static const LeafLoop stream_out = streamed_runs();
  char* const tile = tile_memory();
  Leaf whole;
  whole.run = staged_;
  around_.each(dst, src, [&](char* d, const char* s) {
    outer_.each(tile, s, [&](char* t, const char* from) { loop_(leaf_, t, from, ahead); });
    stream_out(whole, d, tile, 0);
  });
}

std::size_t Mover::touch_batch() const {
  if (leaf_.run < kLine || leaf_.run > kPage) return 0;
  accel_i64 runs = leaf_.n;
  for (const Outer* outer : {&outer_, &around_}) {
    for (int i = 0; i < outer->ndim; ++i) runs *= outer->size[i];
  }
  return static_cast<std::size_t>(std::max<accel_i64>(1, kTouches / runs));
}

void Mover::touch(const char* dst, const char* src, bool dst_too) const {
  const bool both_ends = leaf_.run >= kLongRun;  // a longer run may well straddle two pages
  const auto touch_leaf = [&](const char* d, const char* s) {
    for (accel_i64 i = 0; i < leaf_.n; ++i) {
      __builtin_prefetch(s, 0, 0);
      if (both_ends) __builtin_prefetch(s + leaf_.run - 1, 0, 0);
      if (dst_too) __builtin_prefetch(d, 1, 3);
      s += leaf_.src;
      d += leaf_.dst;
    }
  };
  around_.each(dst, src, [&](const char* d, const char* s) { outer_.each(d, s, touch_leaf); });
}

}  // namespace accel_cpu::kv
