#include "copy_bytes.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "parallel.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace accel_cpu {
namespace {

// A run shorter than this costs more in alignment and fences than its stores save.
constexpr std::size_t kShortestStreamingRun = 4096;

using StreamingCopy = void (*)(char* dst, const char* src, std::size_t n);

#if defined(__x86_64__)

// All three: dst is aligned to 64 bytes and n is a multiple of 256. The loads run one page ahead.
__attribute__((target("avx512f"))) void stream_avx512(char* dst, const char* src, std::size_t n) {
  for (std::size_t i = 0; i < n; i += 256) {
    _mm_prefetch(src + i + 2048, _MM_HINT_T0);
    _mm_prefetch(src + i + 2112, _MM_HINT_T0);
    _mm_prefetch(src + i + 2176, _MM_HINT_T0);
    _mm_prefetch(src + i + 2240, _MM_HINT_T0);
    const __m512i a = _mm512_loadu_si512(src + i);
    const __m512i b = _mm512_loadu_si512(src + i + 64);
    const __m512i c = _mm512_loadu_si512(src + i + 128);
    const __m512i d = _mm512_loadu_si512(src + i + 192);
    _mm512_stream_si512(reinterpret_cast<__m512i*>(dst + i), a);
    _mm512_stream_si512(reinterpret_cast<__m512i*>(dst + i + 64), b);
    _mm512_stream_si512(reinterpret_cast<__m512i*>(dst + i + 128), c);
    _mm512_stream_si512(reinterpret_cast<__m512i*>(dst + i + 192), d);
  }
}

__attribute__((target("avx2"))) void stream_avx2(char* dst, const char* src, std::size_t n) {
  for (std::size_t i = 0; i < n; i += 64) {
    _mm_prefetch(src + i + 1024, _MM_HINT_T0);
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src + i));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src + i + 32));
    _mm256_stream_si256(reinterpret_cast<__m256i*>(dst + i), a);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(dst + i + 32), b);
  }
}

void stream_sse2(char* dst, const char* src, std::size_t n) {
  for (std::size_t i = 0; i < n; i += 64) {
    _mm_prefetch(src + i + 1024, _MM_HINT_T0);
    for (std::size_t j = i; j < i + 64; j += 16) {
      const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(src + j));
      _mm_stream_si128(reinterpret_cast<__m128i*>(dst + j), a);
    }
  }
}

StreamingCopy choose_streaming_copy() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return stream_avx512;
  if (__builtin_cpu_supports("avx2")) return stream_avx2;
  return stream_sse2;
}

void fence() { _mm_sfence(); }

#else

StreamingCopy choose_streaming_copy() { return nullptr; }
void fence() {}

#endif

std::size_t decide_threshold() {
  long cache = -1;
#ifdef _SC_LEVEL3_CACHE_SIZE
  cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (cache <= 0) cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  if (cache <= 0) cache = 8l << 20;
  return static_cast<std::size_t>(cache) / 2;
}

}  // namespace

std::size_t streaming_threshold() {
  static const std::size_t threshold = decide_threshold();
  return threshold;
}

void copy_bytes(void* dst, const void* src, std::size_t n, bool streaming) {
  static const StreamingCopy streaming_copy = choose_streaming_copy();
  if (!streaming || n < kShortestStreamingRun || streaming_copy == nullptr) {
    std::memcpy(dst, src, n);
    return;
  }
  auto* d = static_cast<char*>(dst);
  auto* s = static_cast<const char*>(src);
  const std::size_t head = (64 - reinterpret_cast<std::uintptr_t>(d) % 64) % 64;
  std::memcpy(d, s, head);
  const std::size_t body = (n - head) / 256 * 256;
  streaming_copy(d + head, s + head, body);
  fence();
  std::memcpy(d + head + body, s + head + body, n - head - body);
}

void copy_bytes_parallel(void* dst, const void* src, std::size_t n) {
  const bool streaming = n >= streaming_threshold();
  auto* d = static_cast<char*>(dst);
  auto* s = static_cast<const char*>(src);
  parallel_for(n, kCopyGrain, [=](std::size_t begin, std::size_t end) {
    copy_bytes(d + begin, s + begin, end - begin, streaming);
  });
}

void fill_bytes_parallel(void* dst, std::uint8_t value, std::size_t n) {
  auto* d = static_cast<char*>(dst);
  parallel_for(n, kCopyGrain, [=](std::size_t begin, std::size_t end) {
    std::memset(d + begin, value, end - begin);
  });
}

}  // namespace accel_cpu
