// The index tensors of KV calls (slots, blocks, sequence lengths): read, and refused in the
// contract's words. The GIL must be held.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "kv_slots.hpp"
#include "tensor_view.hpp"

namespace accel {

// An int32 or int64 tensor with `ndim` axes, of any device; raises DTypeError, ShapeError.
void read_indices(PyObject* object, const char* argument, int ndim, TensorView* out);

// Likewise, on the host; raises DeviceError.
void read_host_indices(PyObject* object, const char* argument, int ndim, TensorView* out);

// A column of an index tensor on the host: elements `first`, `first + stride`, ...
SlotList column(const TensorView& view, std::int64_t first, std::int64_t stride);

// An index tensor of one axis on the host. `view` must outlive the list.
SlotList read_slots(PyObject* slots, const char* argument, TensorView* view);

// Raises the SlotError or OverlapError that the fault is.
[[noreturn]] void raise_fault(const SlotFault& fault, const char* src, const char* dst);

namespace detail {

inline std::string shape_text(const TensorView& view) {
  std::string text = "(";
  for (int i = 0; i < view.ndim; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(view.shape[i]);
  }
  return text + (view.ndim == 1 ? ",)" : ")");
}

inline void refuse_device(PyObject* object, const char* argument, const TensorView& view) {
  if (view.is_cpu) return;
  fail("DeviceError", argument, "an index tensor on the host",
       describe(attribute(object, names().device).get()));
}

}  // namespace detail

inline void read_indices(PyObject* object, const char* argument, int ndim, TensorView* out) {
  read_tensor(object, argument, out);
  const auto& names = detail::names();
  if (!out->is_int32 && !out->is_int64) {
    fail("DTypeError", argument, "an int32 or int64 tensor",
         describe(detail::attribute(object, names.dtype).get()));
  }
  if (out->ndim != ndim) {
    fail("ShapeError", argument, ndim == 1 ? "one axis" : std::to_string(ndim) + " axes",
         detail::shape_text(*out));
  }
}

inline void read_host_indices(PyObject* object, const char* argument, int ndim, TensorView* out) {
  read_indices(object, argument, ndim, out);
  detail::refuse_device(object, argument, *out);
}

inline SlotList column(const TensorView& view, std::int64_t first, std::int64_t stride) {
  SlotList list;
  list.size = view.shape[0];
  list.stride = stride;
  list.wide = view.is_int64;
  const auto itemsize = view.is_int64 ? 8 : 4;
  const auto skipped = static_cast<std::uintptr_t>(first * itemsize);
  list.data = reinterpret_cast<const void*>(view.data + skipped);
  return list;
}

inline SlotList read_slots(PyObject* slots, const char* argument, TensorView* view) {
  read_host_indices(slots, argument, 1, view);
  return column(*view, 0, view->strides[0]);
}

[[noreturn]] inline void raise_fault(const SlotFault& fault, const char* src, const char* dst) {
  fail(fault.is_overlap() ? "OverlapError" : "SlotError", fault.in_source() ? src : dst,
       fault.expected(), fault.given(), fault.cure());
}

}  // namespace accel
