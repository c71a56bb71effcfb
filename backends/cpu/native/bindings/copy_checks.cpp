#include "copy_checks.hpp"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "pinned_buffer.hpp"

namespace accel_cpu {
namespace {

using accel::Operand;

std::string range_text(const Region& region) {
  char text[64];
  std::snprintf(text, sizeof text, "[0x%zx, 0x%zx)", region.begin(), region.end());
  return text;
}

// An operand of memory that the host can reach and that is still there.
Operand parse_host(PyObject* object, const std::string& name) {
  Operand operand = Operand::parse(object, name.c_str());
  operand.require_cpu();
  if (operand.is_tensor) return operand;
  const accel::Ref owner = accel::detail::attribute(object, accel::detail::names().owner);
  if (owner.get() == Py_None) return operand;
  pybind11::detail::make_caster<PinnedBuffer> buffer;
  if (buffer.load(owner.get(), false) && pybind11::detail::cast_op<PinnedBuffer&>(buffer).freed()) {
    accel::fail("FreedError", name, "memory whose owner was not freed",
                accel::describe(owner.get()));
  }
  return operand;
}

Region flat_region(const Operand& operand) { return Region(operand.pointer, operand.nbytes); }

void refuse_overlap(Region::Answer answer, const Region& dst, const std::string& dst_name,
                    const Region& src, const std::string& src_name) {
  if (answer == Region::Answer::No) return;
  std::string given = range_text(dst) + " and " + range_text(src);
  if (answer == Region::Answer::Unknown) {
    given += ", of strides too irregular to prove that they do not";
  }
  accel::fail("OverlapError", dst_name, "memory that shares no byte with " + src_name, given,
              "copy through a temporary, or choose disjoint memory");
}

void refuse_repeated_writes(const Region& region, const std::string& name, PyObject* tensor) {
  const auto answer = region.overlaps_itself();
  if (answer == Region::Answer::No) return;
  std::string given =
      "strides " +
      accel::describe(accel::detail::call_method(tensor, accel::detail::names().stride).get());
  if (answer == Region::Answer::Unknown) given += ", too irregular to prove that";
  accel::fail("OverlapError", name, "a destination that holds each element in bytes of its own",
              given, "write to a tensor that is not expanded, or to its contiguous copy");
}

void require_contiguous(const Operand& operand, const std::string& why) {
  if (operand.contiguous) return;
  accel::fail(
      "ShapeError", operand.name, "a contiguous tensor, " + why,
      "strides " +
          accel::describe(
              accel::detail::call_method(operand.object, accel::detail::names().stride).get()),
      "pass tensor.contiguous()");
}

void require_same_bytes(const Operand& dst, const Operand& src) {
  if (dst.nbytes == src.nbytes) return;
  accel::fail("SizeError", src.name, std::to_string(dst.nbytes) + " bytes, as many as " + dst.name,
              std::to_string(src.nbytes) + " bytes");
}

void require_same_shape_and_dtype(const Operand& dst, const Operand& src) {
  const accel::Ref to = dst.dtype(), from = src.dtype();
  if (to.get() != from.get()) {
    accel::fail("DTypeError", src.name, accel::describe(to.get()) + ", the dtype of " + dst.name,
                accel::describe(from.get()), "convert it first: a copy moves bytes");
  }
  const accel::Ref to_shape = dst.shape(), from_shape = src.shape();
  const int same = PyObject_RichCompareBool(to_shape.get(), from_shape.get(), Py_EQ);
  if (same < 0) throw accel::ErrorSet();
  if (same == 1) return;
  accel::fail("ShapeError", src.name,
              accel::describe(to_shape.get()) + ", the shape of " + dst.name,
              accel::describe(from_shape.get()));
}

void plan_strided(CopyPair& pair) {
  const auto to = pair.dst.strides(), from = pair.src.strides();
  pair.dst_region = Region(pair.dst.pointer, to.shape, to.bytes, to.itemsize);
  pair.src_region = Region(pair.src.pointer, from.shape, from.bytes, from.itemsize);
  refuse_repeated_writes(pair.dst_region, pair.dst.name, pair.dst.object);
  pair.plan = std::make_shared<const StridedCopy>(to.shape, to.bytes, from.bytes, to.itemsize);
}

std::int64_t extent_argument(PyObject* object, const char* name) {
  accel::Ref index{PyNumber_Index(object)};
  if (!index) {
    PyErr_Clear();
    accel::fail("DTypeError", name, "a number of bytes or rows", accel::describe(object));
  }
  const long long value = PyLong_AsLongLong(index.get());
  if (PyErr_Occurred() != nullptr || value < 0) {
    PyErr_Clear();
    accel::fail("SizeError", name, "0 to 2**63 - 1", accel::describe(object));
  }
  return value;
}

void require_rows_fit(const Operand& operand, std::int64_t width, std::int64_t height,
                      std::int64_t pitch, const char* pitch_name) {
  if (pitch < width) {
    accel::fail("SizeError", pitch_name, "at least width, " + std::to_string(width),
                std::to_string(pitch));
  }
  const __int128 end = static_cast<__int128>(height - 1) * pitch + width;
  if (end <= static_cast<__int128>(operand.nbytes)) return;
  accel::fail("SizeError", operand.name,
              "at least (height - 1) * " + std::string(pitch_name) + " + width bytes, for " +
                  std::to_string(height) + " rows of " + std::to_string(width) + " every " +
                  std::to_string(pitch),
              std::to_string(operand.nbytes) + " bytes");
}

}  // namespace

CopyPair check_pair(PyObject* dst, const std::string& dst_name, PyObject* src,
                    const std::string& src_name) {
  CopyPair pair;
  pair.dst = parse_host(dst, dst_name);
  pair.src = parse_host(src, src_name);
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
  plan_strided(pair);
  refuse_overlap(Region::share_bytes(pair.dst_region, pair.src_region), pair.dst_region, dst_name,
                 pair.src_region, src_name);
  return pair;
}

void check_batch_overlap(const std::vector<CopyPair>& pairs) {
  struct Entry {
    Region region;
    const std::string* name;
    bool is_dst;
  };
  std::vector<Entry> entries;
  entries.reserve(2 * pairs.size());
  for (const CopyPair& pair : pairs) {
    if (pair.dst.nbytes == 0) continue;
    const bool strided = pair.plan != nullptr;
    entries.push_back({strided ? pair.dst_region : flat_region(pair.dst), &pair.dst.name, true});
    entries.push_back({strided ? pair.src_region : flat_region(pair.src), &pair.src.name, false});
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
        refuse_overlap(Region::share_bytes(dst.region, rest.region), dst.region, *dst.name,
                       rest.region, *rest.name);
      }
    }
    auto& heap = open[entry.is_dst ? 1 : 0];
    heap.push_back(&entry);
    std::push_heap(heap.begin(), heap.end(), later_end);
  }
}

Rows check_rows(PyObject* dst, PyObject* src, PyObject* width, PyObject* height,
                PyObject* dst_pitch, PyObject* src_pitch) {
  Rows rows;
  rows.dst = parse_host(dst, "dst");
  rows.src = parse_host(src, "src");
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
  rows.plan = std::make_shared<const StridedCopy>(shape, to_strides, from_strides, 1);
  return rows;
}

Fill check_fill(PyObject* dst, PyObject* value) {
  Fill fill;
  fill.dst = parse_host(dst, "dst");
  accel::Ref index{PyNumber_Index(value)};
  if (!index) {
    PyErr_Clear();
    accel::fail("DTypeError", "value", "an integer from 0 to 255", accel::describe(value));
  }
  const long byte = PyLong_AsLong(index.get());
  if (PyErr_Occurred() != nullptr || byte < 0 || byte > 255) {
    PyErr_Clear();
    accel::fail("ArgumentError", "value", "0 to 255", accel::describe(value));
  }
  fill.value = static_cast<std::uint8_t>(byte);
  if (fill.dst.contiguous || fill.dst.nbytes == 0) return fill;
  const auto to = fill.dst.strides();
  refuse_repeated_writes(Region(fill.dst.pointer, to.shape, to.bytes, to.itemsize), "dst", dst);
  fill.plan = std::make_shared<const StridedCopy>(to.shape, to.bytes, to.bytes, to.itemsize);
  return fill;
}

}  // namespace accel_cpu
