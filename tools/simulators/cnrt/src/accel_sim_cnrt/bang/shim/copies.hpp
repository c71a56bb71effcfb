// Copies between the memories, and what awaits them.
#pragma once

#include <cstring>
#include <utility>

#include "core.hpp"

namespace accel_bang {

enum mluMemcpyDirection_t {
  GDRAM2NRAM,
  NRAM2GDRAM,
  GDRAM2SRAM,
  SRAM2GDRAM,
  SRAM2NRAM,
  NRAM2SRAM,
  NRAM2NRAM,
  GDRAM2GDRAM
};

namespace detail {

struct Way {
  Space from, to;
};

inline Way way_of(mluMemcpyDirection_t direction) {
  static const Way ways[] = {{Space::Gdram, Space::Nram}, {Space::Nram, Space::Gdram},
                             {Space::Gdram, Space::Sram}, {Space::Sram, Space::Gdram},
                             {Space::Sram, Space::Nram},  {Space::Nram, Space::Sram},
                             {Space::Nram, Space::Nram},  {Space::Gdram, Space::Gdram}};
  const auto which = static_cast<unsigned int>(direction);
  if (which >= sizeof ways / sizeof ways[0]) broken("__memcpy: no direction %u", which);
  return ways[which];
}

inline Space space_of(std::uint64_t address) {
  const auto within = [&](const std::uint8_t* begin, const std::uint8_t* end) {
    return address >= reinterpret_cast<std::uint64_t>(begin) &&
           address < reinterpret_cast<std::uint64_t>(end);
  };
  if (within(__start_accel_nram, __stop_accel_nram)) return Space::Nram;
  return within(__start_accel_sram, __stop_accel_sram) ? Space::Sram : Space::Gdram;
}

// One side of a copy: where its direction says, and within.
inline Rows side(const char* what, const void* pointer, Space space, std::uint64_t count,
                 std::uint64_t bytes, std::uint64_t step) {
  Rows rows = {space, reinterpret_cast<std::uint64_t>(pointer), count, bytes, step};
  const Space found = space_of(rows.begin);
  if (found != space) {
    broken("__memcpy: the %s lies in %s, the direction says %s", what, name_of(found),
           name_of(space));
  }
  if (space != Space::Gdram) {
    const std::uint8_t* const end = space == Space::Nram ? __stop_accel_nram : __stop_accel_sram;
    if (rows.end() > reinterpret_cast<std::uint64_t>(end)) {
      broken("__memcpy: the %s goes %llu bytes past the end of %s", what,
             static_cast<unsigned long long>(rows.end() - reinterpret_cast<std::uint64_t>(end)),
             name_of(space));
    }
  }
  return rows;
}

// Whatever their speeds, nothing under way uses the same bytes in another way.
inline void check_free(const Rows& rows, bool write, const char* what) {
  for (const Copy& copy : core().under_way) {
    if (rows.meets(copy.dst) || (write && rows.meets(copy.src))) {
      broken("%s uses bytes of %s that an asynchronous copy under way %s: no __sync_io or __sync "
             "was called in between",
             what, name_of(rows.space), rows.meets(copy.dst) ? "writes" : "reads");
    }
  }
}

inline void finish_one(Core& c) {
  const std::size_t which = c.random() % c.under_way.size();
  Copy copy = std::move(c.under_way[which]);
  c.under_way.erase(c.under_way.begin() + static_cast<std::ptrdiff_t>(which));
  copy.work();
}

inline void* host(Core& c, const Rows& rows, std::uint64_t i, bool write) {
  if (rows.space != Space::Gdram) return reinterpret_cast<void*>(rows.at(i));
  return c.memory->at(rows.at(i), rows.bytes, write);
}

inline Copy made(void* dst, const void* src, unsigned int size, mluMemcpyDirection_t direction,
                 std::int64_t dst_stride, std::int64_t src_stride, std::int64_t segments) {
  Core& c = core();
  if (size == 0) broken("__memcpy of 0 bytes");
  if (segments < 1) broken("__memcpy: segnum %lld", static_cast<long long>(segments - 1));
  if (segments > 1 && (dst_stride < size || src_stride < 0 || dst_stride > INT32_MAX ||
                       src_stride > INT32_MAX)) {
    broken("__memcpy: strides of %lld and %lld bytes for segments of %u bytes",
           static_cast<long long>(dst_stride), static_cast<long long>(src_stride), size);
  }
  const Way way = way_of(direction);
  const auto count = static_cast<std::uint64_t>(segments);
  Copy copy;
  copy.dst = side("destination", dst, way.to, count, size, static_cast<std::uint64_t>(dst_stride));
  copy.src = side("source", src, way.from, count, size, static_cast<std::uint64_t>(src_stride));
  check_free(copy.src, false, "__memcpy");
  check_free(copy.dst, true, "__memcpy");
  if (copy.dst.meets(copy.src)) broken("__memcpy: source and destination overlap");
  copy.work = [&c, to = copy.dst, from = copy.src] {
    for (std::uint64_t i = 0; i < to.count; ++i) {
      std::memcpy(host(c, to, i, true), host(c, from, i, false), to.bytes);
    }
  };
  for (std::uint64_t i = 0; i < count; ++i) {  // that it exists is known at once
    host(c, copy.dst, i, true);
    host(c, copy.src, i, false);
  }
  c.note(copy.src, false);
  c.note(copy.dst, true);
  return copy;
}

inline void issue(Copy copy) {
  Core& c = core();
  if (copy.dst.space == Space::Nram) {  // until it has arrived, anything may be there
    for (std::uint64_t i = 0; i < copy.dst.count; ++i) {
      std::memset(reinterpret_cast<void*>(copy.dst.at(i)), kPoison, copy.dst.bytes);
    }
  }
  c.under_way.push_back(std::move(copy));
  // Now and then some get ahead, in any order; else they lag behind as far as they may.
  for (auto n = c.random() % 4 == 0 ? c.random() % 4 : 0; n > 0 && !c.under_way.empty(); --n) {
    // What has happened may still be seen as under way: the checks stay as strict.
    Copy& early = c.under_way[c.random() % c.under_way.size()];
    if (early.work) early.work();
    early.work = [] {};
  }
}

// A scalar access to a core's memory.
inline void scalar(const void* pointer, std::size_t bytes, bool write) {
  const auto address = reinterpret_cast<std::uint64_t>(pointer);
  const Space space = space_of(address);
  if (space == Space::Gdram) return;
  check_free({space, address, 1, bytes, 0}, write, write ? "a scalar store" : "a scalar load");
}

}  // namespace detail

inline void __memcpy(void* dst, const void* src, unsigned int size, mluMemcpyDirection_t direction,
                     std::int64_t dst_stride, std::int64_t src_stride, std::int64_t segnum) {
  detail::made(dst, src, size, direction, dst_stride, src_stride, segnum + 1).work();
}
inline void __memcpy(void* dst, const void* src, unsigned int size,
                     mluMemcpyDirection_t direction) {
  __memcpy(dst, src, size, direction, 0, 0, 0);
}
inline void __memcpy_async(void* dst, const void* src, unsigned int size,
                           mluMemcpyDirection_t direction, std::int64_t dst_stride,
                           std::int64_t src_stride, std::int64_t segnum) {
  detail::issue(detail::made(dst, src, size, direction, dst_stride, src_stride, segnum + 1));
}
inline void __memcpy_async(void* dst, const void* src, unsigned int size,
                           mluMemcpyDirection_t direction) {
  __memcpy_async(dst, src, size, direction, 0, 0, 0);
}

// Waits for the core's copies.
inline void __sync_io() {
  Core& c = core();
  while (!c.under_way.empty()) detail::finish_one(c);
}

// Waits for everything of the core.
inline void __sync() { __sync_io(); }

// For a kernel's helpers that load and store scalars: checks what a plain access cannot.
template <class T>
T scalar_load(const T* pointer) {
  detail::scalar(pointer, sizeof(T), false);
  return *pointer;
}
template <class T>
void scalar_store(T* pointer, T value) {
  detail::scalar(pointer, sizeof(T), true);
  *pointer = value;
}

}  // namespace accel_bang
