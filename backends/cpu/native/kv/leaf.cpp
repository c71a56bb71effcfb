#include "leaf.hpp"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace accel_cpu::kv {
namespace {

inline void prefetch(const char* at) { __builtin_prefetch(at, 0, 3); }

// Read once and not again: kept out of the outer caches, which measured faster beside streaming.
inline void prefetch_once(const char* at) { __builtin_prefetch(at, 0, 0); }

inline void prefetch_lines(const char* from, accel_i64 bytes) {
  for (accel_i64 i = 0; i < bytes; i += kLine) prefetch(from + i);
}

// --- ordinary stores ---------------------------------------------------------------------------

template <accel_i64 Run>
void fixed_runs(const Leaf& leaf, char* dst, const char* src, std::ptrdiff_t ahead) {
  // Shorter pieces share lines with their neighbours, which hardware prefetches well.
  const bool fetch = Run >= 16 && ahead != 0;
  for (accel_i64 i = 0; i < leaf.n; ++i) {
    if (fetch) prefetch_lines(src + ahead, Run);
    std::memcpy(dst, src, Run);
    src += leaf.src;
    dst += leaf.dst;
  }
}

void any_runs(const Leaf& leaf, char* dst, const char* src, std::ptrdiff_t ahead) {
  const bool fetch = ahead != 0 && leaf.run <= kPage;
  for (accel_i64 i = 0; i < leaf.n; ++i) {
    if (fetch) prefetch_lines(src + ahead, leaf.run);
    std::memcpy(dst, src, static_cast<std::size_t>(leaf.run));
    src += leaf.src;
    dst += leaf.dst;
  }
}

// Runs of 16 to 512 bytes: the last piece overlaps the one before.
void short_runs(const Leaf& leaf, char* dst, const char* src, std::ptrdiff_t ahead) {
  const accel_i64 last = leaf.run - 16;
  for (accel_i64 i = 0; i < leaf.n; ++i) {
    if (ahead != 0) prefetch_lines(src + ahead, leaf.run);
    for (accel_i64 j = 0; j < last; j += 16) std::memcpy(dst + j, src + j, 16);
    std::memcpy(dst + last, src + last, 16);
    src += leaf.src;
    dst += leaf.dst;
  }
}

// --- streaming stores --------------------------------------------------------------------------

#if defined(__x86_64__)

// `n` whole lines, dst on a line boundary, in steps of `step` bytes: a line forwards or backwards.
// With every line one more is asked for, from `wanted` on.
using StreamBody = void (*)(char* dst, const char* src, accel_i64 n, std::ptrdiff_t step,
                            const char* wanted);

// One store a line: nothing to gather in a write-combining buffer. The fastest by far.
__attribute__((target("avx512f"))) void stream_avx512(char* dst, const char* src, accel_i64 n,
                                                      std::ptrdiff_t step, const char* wanted) {
  for (; n > 0; --n, dst += step, src += step, wanted += kLine) {
    prefetch_once(wanted);
    _mm512_stream_si512(reinterpret_cast<__m512i*>(dst), _mm512_loadu_si512(src));
  }
}

__attribute__((target("avx2"))) void stream_avx2(char* dst, const char* src, accel_i64 n,
                                                 std::ptrdiff_t step, const char* wanted) {
  for (; n > 0; --n, dst += step, src += step, wanted += kLine) {
    prefetch_once(wanted);
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src + 32));
    _mm256_stream_si256(reinterpret_cast<__m256i*>(dst), a);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(dst + 32), b);
  }
}

void stream_sse2(char* dst, const char* src, accel_i64 n, std::ptrdiff_t step, const char* wanted) {
  for (; n > 0; --n, dst += step, src += step, wanted += kLine) {
    prefetch_once(wanted);
    const auto* from = reinterpret_cast<const __m128i*>(src);
    auto* to = reinterpret_cast<__m128i*>(dst);
    const __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
    const __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
    _mm_stream_si128(to, a);
    _mm_stream_si128(to + 1, b);
    _mm_stream_si128(to + 2, c);
    _mm_stream_si128(to + 3, d);
  }
}

StreamBody choose_stream_body() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return stream_avx512;
  if (__builtin_cpu_supports("avx2")) return stream_avx2;
  return stream_sse2;
}

const StreamBody stream_body = choose_stream_body();

// Copies a run from its end backwards. Forwards, the processor takes it for the start of a longer
// stream and fetches on past its end, which no one wants: a tenth of the bandwidth with 2 KiB runs.
inline void stream_backwards(char* dst, const char* src, accel_i64 bytes, std::ptrdiff_t ahead) {
  stream_body(dst + bytes - kLine, src + bytes - kLine, bytes / kLine, -kLine, src + ahead);
}

void lines(const Leaf& leaf, char* dst, const char* src, std::ptrdiff_t ahead) {
  for (accel_i64 i = 0; i < leaf.n; ++i) {
    stream_backwards(dst, src, leaf.run, ahead);
    src += leaf.src;
    dst += leaf.dst;
  }
}

void streamed(const Leaf& leaf, char* dst, const char* src, std::ptrdiff_t ahead) {
  const bool is_long = leaf.run > kPage;  // the next bytes wanted are then its own
  for (accel_i64 i = 0; i < leaf.n; ++i) {
    const auto head = std::min<accel_i64>(
        leaf.run, static_cast<accel_i64>(-reinterpret_cast<std::uintptr_t>(dst) % kLine));
    const accel_i64 body = (leaf.run - head) / kLine * kLine, done = head + body;
    if (head != 0) {
      prefetch_once(src + ahead);
      std::memcpy(dst, src, static_cast<std::size_t>(head));
    }
    if (is_long) {
      stream_body(dst + head, src + head, body / kLine, kLine, src + head + 2048);
    } else {
      stream_backwards(dst + head, src + head, body, ahead);
    }
    if (done != leaf.run) {
      prefetch_once(src + done + ahead);
      std::memcpy(dst + done, src + done, static_cast<std::size_t>(leaf.run - done));
    }
    src += leaf.src;
    dst += leaf.dst;
  }
}

#endif

// --- transposition -----------------------------------------------------------------------------

template <class T>
void transpose_scalar(const Leaf& leaf, char* dst, const char* src, accel_i64 i0, accel_i64 i1,
                      accel_i64 j0, accel_i64 j1) {
  for (accel_i64 i = i0; i < i1; ++i) {
    for (accel_i64 j = j0; j < j1; ++j) {
      std::memcpy(dst + i * leaf.dst + j * static_cast<accel_i64>(sizeof(T)),
                  src + j * leaf.m_src + i * static_cast<accel_i64>(sizeof(T)), sizeof(T));
    }
  }
}

// A square tile of kTile<T> elements a side, in registers where the processor can.
template <class T>
constexpr accel_i64 kTile = 8;

template <class T>
inline void transpose_tile(char* dst, accel_i64 dst_step, const char* src, accel_i64 src_step) {
  T tile[kTile<T>][kTile<T>];
  for (accel_i64 j = 0; j < kTile<T>; ++j) std::memcpy(tile[j], src + j * src_step, sizeof tile[j]);
  for (accel_i64 i = 0; i < kTile<T>; ++i) {
    T column[kTile<T>];
    for (accel_i64 j = 0; j < kTile<T>; ++j) column[j] = tile[j][i];
    std::memcpy(dst + i * dst_step, column, sizeof column);
  }
}

#if defined(__x86_64__)

inline __m128i load16(const char* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
inline void store16(char* p, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }

template <>
inline void transpose_tile<std::uint16_t>(char* dst, accel_i64 dst_step, const char* src,
                                          accel_i64 src_step) {
  __m128i a[8], b[8];
  for (int j = 0; j < 8; ++j) a[j] = load16(src + j * src_step);
  for (int j = 0; j < 4; ++j) {  // rows j and j + 4, element by element: a perfect shuffle ...
    b[2 * j] = _mm_unpacklo_epi16(a[j], a[j + 4]);
    b[2 * j + 1] = _mm_unpackhi_epi16(a[j], a[j + 4]);
  }
  for (int j = 0; j < 4; ++j) {
    a[2 * j] = _mm_unpacklo_epi16(b[j], b[j + 4]);
    a[2 * j + 1] = _mm_unpackhi_epi16(b[j], b[j + 4]);
  }
  for (int j = 0; j < 4; ++j) {  // ... and the third one completes the transposition
    b[2 * j] = _mm_unpacklo_epi16(a[j], a[j + 4]);
    b[2 * j + 1] = _mm_unpackhi_epi16(a[j], a[j + 4]);
  }
  for (int i = 0; i < 8; ++i) store16(dst + i * dst_step, b[i]);
}

template <>
constexpr accel_i64 kTile<std::uint32_t> = 4;

template <>
inline void transpose_tile<std::uint32_t>(char* dst, accel_i64 dst_step, const char* src,
                                          accel_i64 src_step) {
  const __m128i r0 = load16(src), r1 = load16(src + src_step);
  const __m128i r2 = load16(src + 2 * src_step), r3 = load16(src + 3 * src_step);
  const __m128i a = _mm_unpacklo_epi32(r0, r1), b = _mm_unpackhi_epi32(r0, r1);
  const __m128i c = _mm_unpacklo_epi32(r2, r3), d = _mm_unpackhi_epi32(r2, r3);
  store16(dst, _mm_unpacklo_epi64(a, c));
  store16(dst + dst_step, _mm_unpackhi_epi64(a, c));
  store16(dst + 2 * dst_step, _mm_unpacklo_epi64(b, d));
  store16(dst + 3 * dst_step, _mm_unpackhi_epi64(b, d));
}

template <>
constexpr accel_i64 kTile<std::uint8_t> = 16;

template <>
inline void transpose_tile<std::uint8_t>(char* dst, accel_i64 dst_step, const char* src,
                                         accel_i64 src_step) {
  __m128i a[16], b[16];
  for (int j = 0; j < 16; ++j) a[j] = load16(src + j * src_step);
  for (int round = 0; round < 4; ++round) {  // four perfect shuffles of rows j and j + 8
    for (int j = 0; j < 8; ++j) {
      b[2 * j] = _mm_unpacklo_epi8(a[j], a[j + 8]);
      b[2 * j + 1] = _mm_unpackhi_epi8(a[j], a[j + 8]);
    }
    std::copy(b, b + 16, a);
  }
  for (int i = 0; i < 16; ++i) store16(dst + i * dst_step, a[i]);
}

#endif

template <class T>
void transpose(const Leaf& leaf, char* dst, const char* src, std::ptrdiff_t) {
  constexpr accel_i64 tile = kTile<T>, size = sizeof(T);
  const accel_i64 n = leaf.n / tile * tile, m = leaf.m / tile * tile;
  for (accel_i64 i = 0; i < n; i += tile) {
    for (accel_i64 j = 0; j < m; j += tile) {
      transpose_tile<T>(dst + i * leaf.dst + j * size, leaf.dst, src + j * leaf.m_src + i * size,
                        leaf.m_src);
    }
  }
  transpose_scalar<T>(leaf, dst, src, 0, n, m, leaf.m);
  transpose_scalar<T>(leaf, dst, src, n, leaf.n, 0, leaf.m);
}

}  // namespace

LeafLoop plain_runs(accel_i64 run) {
  switch (run) {
    case 1: return fixed_runs<1>;
    case 2: return fixed_runs<2>;
    case 4: return fixed_runs<4>;
    case 8: return fixed_runs<8>;
    case 16: return fixed_runs<16>;
    case 32: return fixed_runs<32>;
    case 64: return fixed_runs<64>;
    case 128: return fixed_runs<128>;
    case 256: return fixed_runs<256>;
    default: return run > 16 && run <= 512 ? short_runs : any_runs;
  }
}

#if defined(__x86_64__)
LeafLoop streamed_lines() { return lines; }
LeafLoop streamed_runs() { return streamed; }
void streaming_fence() { _mm_sfence(); }
#else
LeafLoop streamed_lines() { return any_runs; }
LeafLoop streamed_runs() { return any_runs; }
void streaming_fence() {}
#endif

LeafLoop transposed(accel_i64 run) {
  switch (run) {
    case 1: return transpose<std::uint8_t>;
    case 2: return transpose<std::uint16_t>;
    case 4: return transpose<std::uint32_t>;
    case 8: return transpose<std::uint64_t>;
    default: return nullptr;
  }
}

}  // namespace accel_cpu::kv
