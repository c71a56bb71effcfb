// What must hold before a copy writes its first byte, on any device.
//
// `parse(object, name)` gives the accel::Operand of an argument, or raises what is wrong with its
// memory. Plan is accel::StridedPlan or a class made from the same arguments. Everything here
// raises accel.errors classes and needs the GIL. Addresses of host and devices are of one address
// space, so operands share a byte exactly when their ranges do.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "operand.hpp"
#include "region.hpp"
#include "strided_plan.hpp"

namespace accel {

template <class Plan>
struct CopyPair {
  Operand dst, src;
  std::shared_ptr<const Plan> plan;  // null when both are contiguous
  Region dst_region, src_region;     // set when the plan is
};

template <class Plan>
struct CopyRows {
  Operand dst, src;
  std::shared_ptr<const Plan> plan;  // null when there is nothing to copy
};

template <class Plan>
struct CopyFill {
  Operand dst;
  std::uint8_t value;
  std::shared_ptr<const Plan> plan;  // null when contiguous
};

namespace detail {

inline std::string range_text(const Region& region) {
  char text[64];
  std::snprintf(text, sizeof text, "[0x%zx, 0x%zx)", region.begin(), region.end());
  return text;
}

inline Region flat_region(const Operand& operand) {
  return Region(operand.pointer, operand.nbytes);
}

inline std::string strides_text(PyObject* tensor) {
  return "strides " + describe(call_method(tensor, names().stride).get());
}

inline void refuse_overlap(Region::Answer answer, const Region& dst, const std::string& dst_name,
                           const Region& src, const std::string& src_name) {
  if (answer == Region::Answer::No) return;
  std::string given = range_text(dst) + " and " + range_text(src);
  if (answer == Region::Answer::Unknown) {
    given += ", of strides too irregular to prove that they do not";
  }
  fail("OverlapError", dst_name, "memory that shares no byte with " + src_name, given,
       "copy through a temporary, or choose disjoint memory");
}

inline void refuse_repeated_writes(const Region& region, const std::string& name,
                                   PyObject* tensor) {
  const auto answer = region.overlaps_itself();
  if (answer == Region::Answer::No) return;
  std::string given = strides_text(tensor);
  if (answer == Region::Answer::Unknown) given += ", too irregular to prove that";
  fail("OverlapError", name, "a destination that holds each element in bytes of its own", given,
       "write to a tensor that is not expanded, or to its contiguous copy");
}

inline void require_contiguous(const Operand& operand, const std::string& why) {
  if (operand.contiguous) return;
  fail("ShapeError", operand.name, "a contiguous tensor, " + why, strides_text(operand.object),
       "pass tensor.contiguous()");
}

inline void require_same_bytes(const Operand& dst, const Operand& src) {
  if (dst.nbytes == src.nbytes) return;
  fail("SizeError", src.name, std::to_string(dst.nbytes) + " bytes, as many as " + dst.name,
       std::to_string(src.nbytes) + " bytes");
}

inline void require_same_shape_and_dtype(const Operand& dst, const Operand& src) {
  if (Operand::alike(dst, src) == Operand::Alike::Yes) return;
  const Ref to = dst.dtype(), from = src.dtype();
  if (to.get() != from.get()) {
    fail("DTypeError", src.name, describe(to.get()) + ", the dtype of " + dst.name,
         describe(from.get()), "convert it first: a copy moves bytes");
  }
  const Ref to_shape = dst.shape(), from_shape = src.shape();
  const int same = PyObject_RichCompareBool(to_shape.get(), from_shape.get(), Py_EQ);
  if (same < 0) throw ErrorSet();
  if (same == 1) return;
  fail("ShapeError", src.name, describe(to_shape.get()) + ", the shape of " + dst.name,
       describe(from_shape.get()));
}

inline std::int64_t extent_argument(PyObject* object, const char* name) {
  Ref index{PyNumber_Index(object)};
  if (!index) {
    PyErr_Clear();
    fail("DTypeError", name, "a number of bytes or rows", describe(object));
  }
  const long long value = PyLong_AsLongLong(index.get());
  if (PyErr_Occurred() != nullptr || value < 0) {
    PyErr_Clear();
    fail("SizeError", name, "0 to 2**63 - 1", describe(object));
  }
  return value;
}

inline void require_rows_fit(const Operand& operand, std::int64_t width, std::int64_t height,
                             std::int64_t pitch, const char* pitch_name) {
  if (pitch < width) {
    fail("SizeError", pitch_name, "at least width, " + std::to_string(width),
         std::to_string(pitch));
  }
  const __int128 end = static_cast<__int128>(height - 1) * pitch + width;
  if (end <= static_cast<__int128>(operand.nbytes)) return;
  fail("SizeError", operand.name,
       "at least (height - 1) * " + std::string(pitch_name) + " + width bytes, for " +
           std::to_string(height) + " rows of " + std::to_string(width) + " every " +
           std::to_string(pitch),
       std::to_string(operand.nbytes) + " bytes");
}

inline Ref as_sequence(PyObject* object, const char* name) {
  if (PySequence_Check(object) == 0 || tensor_type() == Py_TYPE(object)) {
    fail("DTypeError", name, "a sequence of tensors or MemRefs", describe(object));
  }
  return checked(PySequence_Fast(object, name));
}

}  // namespace detail

// Both operands, of the same bytes, sharing none.
template <class Plan, class Parse>
CopyPair<Plan> check_pair(PyObject* dst, const std::string& dst_name, PyObject* src,
                          const std::string& src_name, Parse parse) {
  using namespace detail;
  CopyPair<Plan> pair;
  pair.dst = parse(dst, dst_name);
  pair.src = parse(src, src_name);
  if (pair.dst.is_tensor && pair.src.is_tensor) {
    require_same_shape_and_dtype(pair.dst, pair.src);
  } else {
    if (pair.dst.is_tensor) require_contiguous(pair.dst, "since " + src_name + " is raw memory");
    if (pair.src.is_tensor) require_contiguous(pair.src, "since " + dst_name + " is raw memory");
    require_same_bytes(pair.dst, pair.src);
  }
  if (pair.dst.nbytes == 0) return pair;
  if (pair.dst.contiguous && pair.src.contiguous) {
    // Compared as numbers first: this is the path of small copies.
    if (pair.dst.pointer < pair.src.pointer + pair.src.nbytes &&
        pair.src.pointer < pair.dst.pointer + pair.dst.nbytes) {
      refuse_overlap(Region::Answer::Yes, flat_region(pair.dst), dst_name, flat_region(pair.src),
                     src_name);
    }
    return pair;
  }
  const Strides to = pair.dst.strides(), from = pair.src.strides();
  pair.dst_region = Region(pair.dst.pointer, to.shape, to.bytes, to.itemsize);
  pair.src_region = Region(pair.src.pointer, from.shape, from.bytes, from.itemsize);
  refuse_repeated_writes(pair.dst_region, pair.dst.name, pair.dst.object);
  pair.plan = std::make_shared<const Plan>(to.shape, to.bytes, from.bytes, to.itemsize);
  refuse_overlap(Region::share_bytes(pair.dst_region, pair.src_region), pair.dst_region, dst_name,
                 pair.src_region, src_name);
  return pair;
}

// No pair's destination shares a byte with another pair's destination or source.
template <class Plan>
void check_batch_overlap(const std::vector<CopyPair<Plan>>& pairs) {
  struct Entry {
    Region region;
    const std::string* name;
    bool is_dst;
  };
  std::vector<Entry> entries;
  entries.reserve(2 * pairs.size());
  for (const CopyPair<Plan>& pair : pairs) {
    if (pair.dst.nbytes == 0) continue;
    const bool strided = pair.plan != nullptr;
    entries.push_back(
        {strided ? pair.dst_region : detail::flat_region(pair.dst), &pair.dst.name, true});
    entries.push_back(
        {strided ? pair.src_region : detail::flat_region(pair.src), &pair.src.name, false});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.region.begin() < b.region.begin(); });
  // A sweep over the addresses. Regions that have ended leave their heap at the next look; sources
  // may cover one another, so they are only gone through when one reaches into a destination.
  const auto later_end = [](const Entry* a, const Entry* b) {
    return a->region.end() > b->region.end();
  };
  std::vector<const Entry*> open[2];  // heaps by end, the earliest first: sources, destinations
  for (const Entry& entry : entries) {
    for (auto& heap : open) {
      while (!heap.empty() && heap.front()->region.end() <= entry.region.begin()) {
        std::pop_heap(heap.begin(), heap.end(), later_end);
        heap.pop_back();
      }
    }
    for (const int kind : {1, 0}) {
      if (kind == 0 && !entry.is_dst) continue;  // sources may share bytes
      for (const Entry* other : open[kind]) {
        const Entry& dst = entry.is_dst ? entry : *other;
        const Entry& rest = entry.is_dst ? *other : entry;
        detail::refuse_overlap(Region::share_bytes(dst.region, rest.region), dst.region, *dst.name,
                               rest.region, *rest.name);
      }
    }
    auto& heap = open[entry.is_dst ? 1 : 0];
    heap.push_back(&entry);
    std::push_heap(heap.begin(), heap.end(), later_end);
  }
}

// dsts[i] and srcs[i] for all i: the two sequences' lengths, every pair, and all pairs together.
template <class Plan, class Parse>
std::vector<CopyPair<Plan>> check_batch(PyObject* dsts, PyObject* srcs, Parse parse) {
  const Ref to = detail::as_sequence(dsts, "dsts"), from = detail::as_sequence(srcs, "srcs");
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(to.get());
  if (PySequence_Fast_GET_SIZE(from.get()) != count) {
    fail("SizeError", "srcs", std::to_string(count) + " operands, as many as dsts",
         std::to_string(PySequence_Fast_GET_SIZE(from.get())));
  }
  std::vector<CopyPair<Plan>> pairs;
  pairs.reserve(static_cast<std::size_t>(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    const std::string index = "[" + std::to_string(i) + "]";
    pairs.push_back(check_pair<Plan>(PySequence_Fast_GET_ITEM(to.get(), i), "dsts" + index,
                                     PySequence_Fast_GET_ITEM(from.get(), i), "srcs" + index,
                                     parse));
  }
  check_batch_overlap(pairs);
  return pairs;
}

template <class Plan, class Parse>
CopyRows<Plan> check_rows(PyObject* dst, PyObject* src, PyObject* width, PyObject* height,
                          PyObject* dst_pitch, PyObject* src_pitch, Parse parse) {
  using namespace detail;
  CopyRows<Plan> rows;
  rows.dst = parse(dst, "dst");
  rows.src = parse(src, "src");
  require_contiguous(rows.dst, "whose rows are pitched by dst_pitch");
  require_contiguous(rows.src, "whose rows are pitched by src_pitch");
  const std::int64_t w = extent_argument(width, "width"), h = extent_argument(height, "height");
  const std::int64_t to = extent_argument(dst_pitch, "dst_pitch");
  const std::int64_t from = extent_argument(src_pitch, "src_pitch");
  if (h > 0) {
    require_rows_fit(rows.dst, w, h, to, "dst_pitch");
    require_rows_fit(rows.src, w, h, from, "src_pitch");
  }
  if (w == 0 || h == 0) return rows;
  const std::vector<std::int64_t> shape{h, w}, to_strides{to, 1}, from_strides{from, 1};
  const Region dst_region(rows.dst.pointer, shape, to_strides, 1);
  const Region src_region(rows.src.pointer, shape, from_strides, 1);
  refuse_overlap(Region::share_bytes(dst_region, src_region), dst_region, "dst", src_region, "src");
  rows.plan = std::make_shared<const Plan>(shape, to_strides, from_strides, 1);
  return rows;
}

template <class Plan, class Parse>
CopyFill<Plan> check_fill(PyObject* dst, PyObject* value, Parse parse) {
  using namespace detail;
  CopyFill<Plan> checked;
  checked.dst = parse(dst, "dst");
  Ref index{PyNumber_Index(value)};
  if (!index) {
    PyErr_Clear();
    fail("DTypeError", "value", "an integer from 0 to 255", describe(value));
  }
  const long byte = PyLong_AsLong(index.get());
  if (PyErr_Occurred() != nullptr || byte < 0 || byte > 255) {
    PyErr_Clear();
    fail("ArgumentError", "value", "0 to 255", describe(value));
  }
  checked.value = static_cast<std::uint8_t>(byte);
  if (checked.dst.contiguous || checked.dst.nbytes == 0) return checked;
  const Strides to = checked.dst.strides();
  refuse_repeated_writes(Region(checked.dst.pointer, to.shape, to.bytes, to.itemsize), "dst", dst);
  checked.plan = std::make_shared<const Plan>(to.shape, to.bytes, to.bytes, to.itemsize);
  return checked;
}

}  // namespace accel
