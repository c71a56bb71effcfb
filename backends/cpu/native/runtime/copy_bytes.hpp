// Moving and setting bytes: plain, past the caches, and on all threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accel_cpu {

// Copies of at least this many bytes in all (source and destination no longer fit the last-level
// cache together) gain from streaming stores, which do not read the destination first.
std::size_t streaming_threshold();

// n bytes on the calling thread; the ranges must not overlap. `streaming` asks for stores that
// bypass the caches; it is honoured for runs long enough and where the processor has them.
void copy_bytes(void* dst, const void* src, std::size_t n, bool streaming = false);

// n bytes on all threads, streaming when n reaches the threshold.
void copy_bytes_parallel(void* dst, const void* src, std::size_t n);

void fill_bytes_parallel(void* dst, std::uint8_t value, std::size_t n);

// A range was written with streaming stores by copy_bytes(streaming=true): it already ends with the
// fence that orders them before anything that follows.

}  // namespace accel_cpu
