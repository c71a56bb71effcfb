// Which number format a torch tensor has. The GIL must be held.
#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "number_kind.hpp"
#include "tensor_view.hpp"

namespace accel {

// Of a tensor that `view` was read from: asked once for each value of TensorView::dtype.
inline NumberKind kind_of(const TensorView& view, PyObject* tensor) {
  static auto* const known = new std::vector<std::pair<std::uint64_t, NumberKind>>;
  for (const auto& [dtype, kind] : *known) {
    if (dtype == view.dtype) return kind;
  }
  const Ref dtype = detail::attribute(tensor, detail::names().dtype);
  const Ref text = checked(PyObject_Str(dtype.get()));
  const char* name = PyUnicode_AsUTF8(text.get());
  if (name == nullptr) throw ErrorSet();
  NumberKind kind = NumberKind::Other;
  if (std::strcmp(name, "torch.uint8") == 0) kind = NumberKind::U8;
  if (std::strncmp(name, "torch.", 6) == 0) kind_from_name(name + 6, &kind);
  known->emplace_back(view.dtype, kind);
  return kind;
}

// Imaginary parts of conjugated tensors are negated when they are read, which their memory is not.
inline bool is_negated(PyObject* tensor) {
  return detail::is_true(detail::call_method(tensor, detail::names().is_neg));
}

}  // namespace accel
