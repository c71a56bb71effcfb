#include "operands.hpp"

#include <accel/operand.hpp>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace accel_cpu::quantize {
namespace {

using accel::TensorView;

enum class Element { F32, F16, BF16, E4M3, E5M2, I8, U8, Other };

Element element_from_name(const char* name) {
  static constexpr std::pair<const char*, Element> kNames[] = {
      {"torch.float32", Element::F32},        {"torch.float16", Element::F16},
      {"torch.bfloat16", Element::BF16},      {"torch.float8_e4m3fn", Element::E4M3},
      {"torch.float8_e5m2", Element::E5M2},   {"torch.int8", Element::I8},
      {"torch.uint8", Element::U8},
  };
  for (const auto& [known, element] : kNames) {
    if (std::strcmp(name, known) == 0) return element;
  }
  return Element::Other;
}

// What TensorView::dtype stands for, asked once for each value.
Element element_of(const TensorView& view, PyObject* tensor) {
  static auto* known = new std::vector<std::pair<std::uint64_t, Element>>;  // under the GIL
  for (const auto& [dtype, element] : *known) {
    if (dtype == view.dtype) return element;
  }
  const accel::Ref dtype = accel::detail::attribute(tensor, accel::detail::names().dtype);
  const accel::Ref text = accel::checked(PyObject_Str(dtype.get()));
  const char* name = PyUnicode_AsUTF8(text.get());
  if (name == nullptr) throw accel::ErrorSet();
  known->emplace_back(view.dtype, element_from_name(name));
  return known->back().second;
}

Element code_element(Code code) {
  switch (code) {
    case Code::I8:
      return Element::I8;
    case Code::E4M3:
      return Element::E4M3;
    case Code::E5M2:
      return Element::E5M2;
    default:
      return Element::U8;
  }
}

bool value_kind(Element element, numeric::Kind* kind) {
  if (element == Element::F32) *kind = numeric::Kind::F32;
  if (element == Element::F16) *kind = numeric::Kind::F16;
  if (element == Element::BF16) *kind = numeric::Kind::BF16;
  return element == Element::F32 || element == Element::F16 || element == Element::BF16;
}

// Imaginary parts of conjugated tensors are negated when they are read, which their memory is not.
bool is_negated(PyObject* tensor) {
  return accel::detail::is_true(
      accel::detail::call_method(tensor, accel::detail::names().is_neg));
}

std::int64_t item_size(const Spec& spec, numeric::Kind values, int which) {
  (void)spec;
  if (which == kCodes) return 1;
  return which == kValues ? static_cast<std::int64_t>(numeric::size_of(values)) : 4;
}

// The shapes and dtypes are right. `values` is set.
bool fits(const Spec& spec, const TensorView (&views)[kOperands], const Arguments& arguments,
          numeric::Kind* values) {
  const TensorView &x = views[kValues], &codes = views[kCodes], &scales = views[kScales];
  const int used = spec.symmetric ? kOffsets : kOperands;
  for (int w = 0; w < used; ++w) {
    if (!views[w].is_cpu) return false;
  }
  const Element element = element_of(x, arguments.object[kValues]);
  if (!value_kind(element, values)) return false;
  if (element_of(codes, arguments.object[kCodes]) != code_element(spec.code)) return false;
  for (int w = kScales; w < used; ++w) {
    if (element_of(views[w], arguments.object[w]) != Element::F32) return false;
    if (is_negated(arguments.object[w])) return false;
  }
  if (element != Element::BF16 && is_negated(arguments.object[kValues])) return false;

  const int n = x.ndim;
  if (n < 2 || codes.ndim != n) return false;
  const std::int64_t tokens = x.shape[n - 2], channels = x.shape[n - 1];
  const std::int64_t packed = spec.is_packed() ? 2 : 1;
  if (channels % packed != 0 || codes.shape[n - 1] * packed != channels) return false;
  if (!std::equal(x.shape, x.shape + n - 1, codes.shape)) return false;
  if (spec.is_packed() && codes.shape[n - 1] > 1 && codes.strides[n - 1] != 1) return false;
  const bool group = spec.axis == Axis::Group;
  if (scales.ndim != (group ? n : n - 1)) return false;
  if (!std::equal(x.shape, x.shape + n - 2, scales.shape)) return false;
  if (spec.axis == Axis::Channel) {
    if (scales.shape[n - 2] != channels) return false;
  } else if (scales.shape[n - 2] != tokens) {
    return false;
  }
  if (group && scales.shape[n - 1] * spec.group_size != channels) return false;
  if (spec.symmetric) return true;
  const TensorView& offsets = views[kOffsets];
  return offsets.ndim == scales.ndim &&
         std::equal(scales.shape, scales.shape + scales.ndim, offsets.shape);
}

struct Bounds {
  std::uintptr_t begin, end;
};

Bounds bounds_of(const TensorView& view, std::int64_t size) {
  if (view.numel() == 0) return {0, 0};
  std::int64_t last = 0;
  for (int d = 0; d < view.ndim; ++d) last += (view.shape[d] - 1) * view.strides[d];
  return {view.data, view.data + static_cast<std::uintptr_t>((last + 1) * size)};
}

// Every stride steps over all that lies within: no two elements are one.
bool nested(const TensorView& view) {
  std::vector<std::pair<std::int64_t, std::int64_t>> dims;  // stride, extent
  for (int d = 0; d < view.ndim; ++d) {
    if (view.shape[d] == 0) return true;
    if (view.shape[d] > 1) dims.emplace_back(view.strides[d], view.shape[d]);
  }
  std::sort(dims.begin(), dims.end());
  std::int64_t span = 1;
  for (const auto& [stride, extent] : dims) {
    if (stride < span) return false;
    span += (extent - 1) * stride;
  }
  return true;
}

bool surely_disjoint(const Spec& spec, const TensorView (&views)[kOperands], numeric::Kind values,
                     bool back) {
  const int used = spec.symmetric ? kOffsets : kOperands;
  Bounds bounds[kOperands];
  for (int w = 0; w < used; ++w) bounds[w] = bounds_of(views[w], item_size(spec, values, w));
  const auto written = [back](int w) { return (w == kValues) == back; };
  for (int a = 0; a < used; ++a) {
    if (!written(a)) continue;
    if (!nested(views[a])) return false;
    for (int b = 0; b < used; ++b) {
      if (a == b || (written(b) && b < a)) continue;
      if (bounds[a].begin < bounds[b].end && bounds[b].begin < bounds[a].end) return false;
    }
  }
  return true;
}

void lay_out(const TensorView (&views)[kOperands], Problem* problem) {
  const Spec& spec = problem->spec;
  const int used = spec.symmetric ? kOffsets : kOperands;
  const int n = views[kValues].ndim;
  std::vector<Dim> outer(static_cast<std::size_t>(n - 2));
  for (int w = 0; w < used; ++w) {
    const TensorView& view = views[w];
    const std::int64_t size = item_size(spec, problem->values, w);
    problem->base[w] = reinterpret_cast<char*>(view.data);
    for (int d = 0; d < n - 2; ++d) {
      outer[static_cast<std::size_t>(d)].step[w] = view.strides[d] * size;
    }
    // Scales have only one of the last two axes, but with groups, which take the channels' place.
    const bool both = w < kScales || spec.axis == Axis::Group;
    const bool by_channel = spec.axis == Axis::Channel;
    problem->tokens.step[w] = both || !by_channel ? view.strides[n - 2] * size : 0;
    problem->channels.step[w] =
        both ? view.strides[n - 1] * size : by_channel ? view.strides[n - 2] * size : 0;
  }
  for (int d = 0; d < n - 2; ++d) {
    outer[static_cast<std::size_t>(d)].extent = views[kValues].shape[d];
  }
  problem->tokens.extent = views[kValues].shape[n - 2];
  problem->channels.extent = views[kValues].shape[n - 1];
  problem->outer = merged(outer);
}

}  // namespace

bool read_operands(const Spec& spec, const Arguments& arguments, bool back, bool checked,
                   Problem* problem) {
  const char* const names[kOperands] = {back ? "out" : "x", "codes", "scales", "offsets"};
  const bool with_offsets = arguments.object[kOffsets] != Py_None;
  if (with_offsets == spec.symmetric) return false;
  TensorView views[kOperands];
  for (int w = 0; w < (with_offsets ? kOperands : kOffsets); ++w) {
    accel::read_tensor(arguments.object[w], names[w], &views[w]);
  }
  problem->spec = spec;
  const bool good = fits(spec, views, arguments, &problem->values);
  if (checked && !good) throw std::logic_error("operands that were checked do not fit");
  if (!good || (!checked && !surely_disjoint(spec, views, problem->values, back))) return false;
  lay_out(views, problem);
  return true;
}

}  // namespace accel_cpu::quantize
