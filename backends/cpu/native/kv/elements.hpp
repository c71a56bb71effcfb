// Elements of one dtype on their way to another: strided on both sides, with a scale for each run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "accel/kv_address.h"
#include "accel/kv_slots.hpp"
#include "numeric/rows.hpp"

namespace accel_cpu::kv {

using numeric::Kind;

// One plane of a conversion, brought to tiles: up to numeric::kTile elements that share their
// scales, computed on as one row of floats, and gathered and scattered run by run around that.
class ElementPlane {
 public:
  ElementPlane(const accel_kv_elements& plan, Kind src, Kind dst);

  // Unit src_unit of the plane at `src` into unit dst_unit of the one at `dst`: values times
  // multiply[head] divided by divide[head]. Where heads share a scale, the head is 0; null is 1.
  // src_next is the unit that will be read after this one. With `streaming`, which needs
  // can_stream(dst), stores go past the caches: call streaming_fence() after the last.
  void convert(const numeric::RowKernels& rows, const char* src, std::int64_t src_unit,
               std::int64_t src_next, char* dst, std::int64_t dst_unit, const float* multiply,
               const float* divide, bool streaming) const;

  // Asks for the lines of a unit that will soon be written, or with `translation` for what it takes
  // to know where their pages are: several at once take as long as one.
  void expect(char* dst, std::int64_t unit, bool translation) const;

  // Whether all that is written to the plane at `dst` is whole lines.
  bool can_stream(const void* dst) const;

  std::int64_t dst_unit_bytes() const { return elements() * static_cast<accel_i64>(dst_.size); }
  std::int64_t elements() const { return plan_.plane.runs * plan_.plane.run_bytes; }  // of a unit

  // The plan in bytes of either side, to compare what is read with what is written.
  accel_kv_plane src_bytes() const;
  accel_kv_plane dst_bytes() const;

 private:
  struct Dim {
    accel_i64 size, src, dst;  // bytes
    accel_i64 src_head, dst_head;
  };
  // How one side of a tile lies: runs of `run` elements that start at these bytes.
  struct Side {
    Kind kind = Kind::F32;
    std::size_t size = 4;  // of an element
    std::size_t run = 1;
    std::vector<accel_i64> starts;
    accel_i64 piece = 0;  // bytes from one piece of a long tile to the next

    bool is_row_of_floats() const { return kind == Kind::F32 && starts.size() == 1; }
    void load(const numeric::RowKernels& rows, const char* from, std::size_t n, float* to) const;
    void store(const numeric::RowKernels& rows, const float* from, std::size_t n, char* to,
               bool streaming) const;
  };

  Side lay_out(Kind kind, const std::vector<Dim>& dims, accel_i64 Dim::*stride) const;
  void convert_tile(const numeric::RowKernels& rows, const char* src, char* dst, float multiply,
                    float divide, bool streaming) const;
  accel_i64 src_offset(std::int64_t unit) const;
  void prefetch_tile(const char* src) const;

  accel_kv_elements plan_;
  template <class F>
  void each_tile(const char* src, char* dst, const float* multiply, const float* divide,
                 F&& body) const;

  std::vector<Dim> outer_;  // around a tile
  std::size_t length_ = 1;  // elements of a tile; more than kTile only along one axis
  std::size_t piece_ = 1;   // elements that are computed on at once
  Side src_, dst_;
  bool whole_lines_ = false;  // every run is some lines, and all steps are multiples of one
  bool jumps_ = false;        // the source is not read from front to back: it is not fetched ahead
};

// Rows of scales, one for each head that has its own.
struct ScaleTable {
  std::vector<float> values;  // empty: no scales
  std::size_t step = 0;       // from row to row; 0: all rows are one

  const float* row(std::size_t i) const {
    return values.empty() ? nullptr : values.data() + i * step;
  }
};

// The tokens of `pairs`, plane p from src[p] to dst[p], each divided by row i of scales[p] for pair
// i. On all threads where that pays; returns when done.
void write_elements(const std::vector<ElementPlane>& planes, const std::vector<std::uintptr_t>& src,
                    const std::vector<std::uintptr_t>& dst, const accel::SlotPairs& pairs,
                    const std::vector<ScaleTable>& scales);

// Units 0 to `units` of every layer and plane, with row layer * planes + plane of both tables.
void convert_elements(const std::vector<ElementPlane>& planes,
                      const std::vector<std::uintptr_t>& src,
                      const std::vector<std::uintptr_t>& dst, std::int64_t units,
                      const ScaleTable& multiply, const ScaleTable& divide);

}  // namespace accel_cpu::kv
