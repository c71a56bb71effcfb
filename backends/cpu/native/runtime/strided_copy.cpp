#include "strided_copy.hpp"

#include <algorithm>
#include <cstring>

#include "copy_bytes.hpp"
#include "parallel.hpp"

namespace accel_cpu {
namespace {

// A row of n elements of a size that the compiler knows: memcpy becomes one load and one store.
template <std::size_t kSize>
void copy_row(char* dst, const char* src, std::int64_t n, std::int64_t dst_step,
              std::int64_t src_step) {
  for (std::int64_t i = 0; i < n; ++i) {
    std::memcpy(dst + i * dst_step, src + i * src_step, kSize);
  }
}

void copy_row_of_runs(char* dst, const char* src, std::int64_t n, std::int64_t dst_step,
                      std::int64_t src_step, std::size_t run, bool streaming) {
  switch (run) {
    case 1: return copy_row<1>(dst, src, n, dst_step, src_step);
    case 2: return copy_row<2>(dst, src, n, dst_step, src_step);
    case 4: return copy_row<4>(dst, src, n, dst_step, src_step);
    case 8: return copy_row<8>(dst, src, n, dst_step, src_step);
    case 16: return copy_row<16>(dst, src, n, dst_step, src_step);
    default:
      for (std::int64_t i = 0; i < n; ++i) {
        copy_bytes(dst + i * dst_step, src + i * src_step, run, streaming);
      }
  }
}

}  // namespace

template <class Row>
void StridedCopy::for_each_row(char* dst, const char* src, Row row) const {
  const Dim inner = dims().empty() ? Dim{1, 0, 0} : dims().back();
  const std::size_t outer_dims = dims().empty() ? 0 : dims().size() - 1;
  std::size_t rows = 1;
  for (std::size_t k = 0; k < outer_dims; ++k) rows *= static_cast<std::size_t>(dims()[k].extent);
  const std::size_t row_bytes = static_cast<std::size_t>(inner.extent) * run();

  if (outer_dims == 0 && inner.extent > 1) {  // one long row: split it
    const std::size_t grain = std::max<std::size_t>(1, kCopyGrain / run());
    parallel_for(static_cast<std::size_t>(inner.extent), grain,
                 [&](std::size_t begin, std::size_t end) {
                   const auto first = static_cast<std::int64_t>(begin);
                   row(dst + first * inner.dst, src + first * inner.src,
                       Dim{static_cast<std::int64_t>(end - begin), inner.dst, inner.src});
                 });
    return;
  }
  const std::size_t grain = std::max<std::size_t>(1, kCopyGrain / row_bytes);
  parallel_for(rows, grain, [&](std::size_t begin, std::size_t end) {
    std::vector<std::int64_t> index(outer_dims);
    std::int64_t dst_at = 0, src_at = 0;
    std::size_t rest = begin;
    for (std::size_t k = outer_dims; k-- > 0;) {
      const auto extent = static_cast<std::size_t>(dims()[k].extent);
      index[k] = static_cast<std::int64_t>(rest % extent);
      rest /= extent;
      dst_at += index[k] * dims()[k].dst;
      src_at += index[k] * dims()[k].src;
    }
    for (std::size_t r = begin; r < end; ++r) {
      row(dst + dst_at, src + src_at, inner);
      for (std::size_t k = outer_dims; k-- > 0;) {
        dst_at += dims()[k].dst;
        src_at += dims()[k].src;
        if (++index[k] < dims()[k].extent) break;
        dst_at -= dims()[k].extent * dims()[k].dst;
        src_at -= dims()[k].extent * dims()[k].src;
        index[k] = 0;
      }
    }
  });
}

void StridedCopy::copy(void* dst, const void* src) const {
  if (dims().empty()) {
    copy_bytes_parallel(dst, src, run());
    return;
  }
  const bool streaming = nbytes() >= streaming_threshold();
  for_each_row(static_cast<char*>(dst), static_cast<const char*>(src),
               [&](char* d, const char* s, const Dim& dim) {
                 copy_row_of_runs(d, s, dim.extent, dim.dst, dim.src, run(), streaming);
               });
}

void StridedCopy::fill(void* dst, std::uint8_t value) const {
  if (dims().empty()) {
    fill_bytes_parallel(dst, value, run());
    return;
  }
  auto* bytes = static_cast<char*>(dst);
  for_each_row(bytes, bytes, [&](char* d, const char*, const Dim& dim) {
    for (std::int64_t i = 0; i < dim.extent; ++i) std::memset(d + i * dim.dst, value, run());
  });
}

void copy_flat_batch(const std::vector<FlatCopy>& copies) {
  std::vector<std::size_t> ends;
  ends.reserve(copies.size());
  std::size_t total = 0;
  for (const FlatCopy& copy : copies) ends.push_back(total += copy.nbytes);
  const bool streaming = total >= streaming_threshold();
  parallel_for(total, kCopyGrain, [&](std::size_t begin, std::size_t end) {
    // The first copy that ends behind `begin`, then on from there.
    auto i =
        static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), begin) - ends.begin());
    for (; begin < end; ++i) {
      const FlatCopy& copy = copies[i];
      const std::size_t offset = begin - (ends[i] - copy.nbytes);
      const std::size_t n = std::min(end, ends[i]) - begin;
      copy_bytes(copy.dst + offset, copy.src + offset, n, streaming);
      begin += n;
    }
  });
}

}  // namespace accel_cpu
