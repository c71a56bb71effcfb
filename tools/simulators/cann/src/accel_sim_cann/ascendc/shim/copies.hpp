// Copies between global memory and the unified buffer, with the rules of each.
#pragma once

#include "queues.hpp"

namespace accel_ascendc {

struct DataCopyParams {
  std::uint16_t blockCount = 1, blockLen = 0;    // blocks, and 32-byte units of one
  std::uint16_t srcStride = 0, dstStride = 0;    // gaps, in 32-byte units
};

struct DataCopyExtParams {
  DataCopyExtParams() = default;
  DataCopyExtParams(std::uint16_t count, std::uint32_t bytes, std::uint32_t src_gap,
                    std::uint32_t dst_gap, std::uint32_t reserved)
      : blockCount(count), blockLen(bytes), srcStride(src_gap), dstStride(dst_gap), rsv(reserved) {}
  std::uint16_t blockCount = 0;
  std::uint32_t blockLen = 0;                 // bytes
  std::uint32_t srcStride = 0, dstStride = 0;  // gaps: bytes in global memory, 32-byte units here
  std::uint32_t rsv = 0;
};

template <class T>
struct DataCopyPadExtParams {
  DataCopyPadExtParams() = default;
  DataCopyPadExtParams(bool pad, std::uint8_t left, std::uint8_t right, T value)
      : isPad(pad), leftPadding(left), rightPadding(right), paddingValue(value) {}
  bool isPad = false;
  std::uint8_t leftPadding = 0, rightPadding = 0;
  T paddingValue = T();
};

namespace detail {

inline std::uint64_t rounded(std::uint64_t bytes) { return (bytes + kUnit - 1) / kUnit * kUnit; }

inline void check_blocks(const DataCopyExtParams& p) {
  if (p.blockCount < 1 || p.blockCount > 4095) {
    broken("DataCopyPad: blockCount %u, of 1 to 4095", unsigned{p.blockCount});
  }
  if (p.blockLen < 1 || p.blockLen > 2097151) {
    broken("DataCopyPad: blockLen %u bytes, of 1 to 2097151", p.blockLen);
  }
}

inline void check_aligned(const Span& local, const char* name) {
  if (local.begin % kUnit != 0) {
    broken("%s: a local address of %llu, which is no multiple of 32", name,
           static_cast<unsigned long long>(local.begin));
  }
}

struct Rows {
  std::uint64_t count, bytes, global_step, local_step;
};

template <class T>
void read_rows(const LocalTensor<T>& to, const GlobalTensor<T>& from, Rows rows, const char* name) {
  to.check_fillable(name);
  const Span all = to.piece(0, (rows.count - 1) * rows.local_step + rounded(rows.bytes));
  check_aligned(all, name);
  const std::uint64_t address =
      from.at_byte(0, (rows.count - 1) * rows.global_step + rows.bytes);
  Task task;
  task.name = name;
  task.writes = all;
  task.work = [=] {
    Core& c = core();
    for (std::uint64_t i = 0; i < rows.count; ++i) {
      std::uint8_t* const local = c.unified.data() + all.begin + i * rows.local_step;
      std::memcpy(local, c.global(address + i * rows.global_step, rows.bytes, false), rows.bytes);
      std::memset(local + rows.bytes, 0x5A, rounded(rows.bytes) - rows.bytes);  // undefined there
    }
  };
  issue(PIPE_MTE2, std::move(task));
}

template <class T>
void write_rows(const GlobalTensor<T>& to, const LocalTensor<T>& from, Rows rows,
                const char* name) {
  from.check_readable(name);
  const Span all = from.piece(0, (rows.count - 1) * rows.local_step + rounded(rows.bytes));
  check_aligned(all, name);
  const std::uint64_t address = to.at_byte(0, (rows.count - 1) * rows.global_step + rows.bytes);
  Task task;
  task.name = name;
  task.reads = all;
  task.work = [=] {
    Core& c = core();
    for (std::uint64_t i = 0; i < rows.count; ++i) {
      std::memcpy(c.global(address + i * rows.global_step, rows.bytes, true),
                  c.unified.data() + all.begin + i * rows.local_step, rows.bytes);
    }
  };
  issue(PIPE_MTE3, std::move(task));
}

inline Rows whole_units(std::uint64_t bytes) {
  if (bytes == 0 || bytes % kUnit != 0) {
    broken("DataCopy of %llu bytes, which is no multiple of 32: use DataCopyPad",
           static_cast<unsigned long long>(bytes));
  }
  return {1, bytes, 0, 0};
}

}  // namespace detail

template <class T>
void DataCopyPad(const LocalTensor<T>& to, const GlobalTensor<T>& from, const DataCopyExtParams& p,
                 const DataCopyPadExtParams<T>& pad) {
  detail::check_blocks(p);
  if (pad.isPad && (pad.leftPadding != 0 || pad.rightPadding != 0)) {
    broken("DataCopyPad: this stand-in knows no padding");
  }
  detail::read_rows(to, from,
                    {p.blockCount, p.blockLen, std::uint64_t{p.blockLen} + p.srcStride,
                     detail::rounded(p.blockLen) + p.dstStride * kUnit},
                    "DataCopyPad to the unified buffer");
}

template <class T>
void DataCopyPad(const GlobalTensor<T>& to, const LocalTensor<T>& from,
                 const DataCopyExtParams& p) {
  detail::check_blocks(p);
  detail::write_rows(to, from,
                     {p.blockCount, p.blockLen, std::uint64_t{p.blockLen} + p.dstStride,
                      detail::rounded(p.blockLen) + p.srcStride * kUnit},
                     "DataCopyPad from the unified buffer");
}

template <class T>
void DataCopy(const LocalTensor<T>& to, const GlobalTensor<T>& from, std::uint32_t elements) {
  detail::read_rows(to, from, detail::whole_units(elements * sizeof(T)),
                    "DataCopy to the unified buffer");
}

template <class T>
void DataCopy(const GlobalTensor<T>& to, const LocalTensor<T>& from, std::uint32_t elements) {
  detail::write_rows(to, from, detail::whole_units(elements * sizeof(T)),
                     "DataCopy from the unified buffer");
}

}  // namespace accel_ascendc
