// Tensors as the operands of a quantize or dequantize, in some hundred nanoseconds. The GIL must be
// held.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "quantize_problem.hpp"
#include "tensor_bounds.hpp"
#include "tensor_kind.hpp"

namespace accel::quantize {

// The arguments of a call; `values` is x or out, `offsets` None when symmetric.
struct Arguments {
  PyObject* object[kOperands];
};

// Fills in `problem` from tensors on the host, or all on one GPU, whose index is then left in
// `gpu` (on the host: null). False when anything about the tensors may be wrong, or takes a closer
// look (memory that might be shared): accel.kv.quantize_arguments then finds the words, or finds
// nothing, and the call is made again with `checked`. Raises DTypeError and FreedError for what is
// no tensor with memory; `back`: for dequantize, which writes the values and nothing else.
inline bool read_operands(const Spec& spec, const Arguments& arguments, bool back, bool checked,
                          Problem* problem, int* gpu = nullptr);

namespace detail {

inline NumberKind code_kind(Code code) {
  switch (code) {
    case Code::I8: return NumberKind::I8;
    case Code::E4M3: return NumberKind::E4M3;
    case Code::E5M2: return NumberKind::E5M2;
    default: return NumberKind::U8;
  }
}

inline std::int64_t item_size(NumberKind values, int which) {
  if (which == kCodes) return 1;
  return which == kValues ? static_cast<std::int64_t>(size_of(values)) : 4;
}

inline bool together(const TensorView (&views)[kOperands], int used, const int* gpu) {
  for (int w = 0; w < used; ++w) {
    const TensorView& view = views[w];
    if (gpu == nullptr ? !view.is_cpu : !view.is_gpu) return false;
    if (gpu != nullptr && view.device_index != views[kValues].device_index) return false;
  }
  return true;
}

// The shapes and dtypes are right. `values` is set.
inline bool fits(const Spec& spec, const TensorView (&views)[kOperands],
                 const Arguments& arguments, NumberKind* values) {
  const TensorView &x = views[kValues], &codes = views[kCodes], &scales = views[kScales];
  const int used = spec.symmetric ? kOffsets : kOperands;
  *values = kind_of(x, arguments.object[kValues]);
  if (!is_value(*values)) return false;
  if (kind_of(codes, arguments.object[kCodes]) != code_kind(spec.code)) return false;
  for (int w = kScales; w < used; ++w) {
    if (kind_of(views[w], arguments.object[w]) != NumberKind::F32) return false;
    if (is_negated(arguments.object[w])) return false;
  }
  if (*values != NumberKind::BF16 && is_negated(arguments.object[kValues])) return false;

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

inline bool surely_disjoint(const Spec& spec, const TensorView (&views)[kOperands],
                            NumberKind values, bool back) {
  const int used = spec.symmetric ? kOffsets : kOperands;
  Bounds bounds[kOperands];
  for (int w = 0; w < used; ++w) {
    if (views[w].numel() != 0) bounds[w] = bounds_of(views[w], item_size(values, w));
  }
  const auto written = [back](int w) { return (w == kValues) == back; };
  for (int a = 0; a < used; ++a) {
    if (!written(a)) continue;
    if (!is_nested(views[a])) return false;
    for (int b = 0; b < used; ++b) {
      if (a == b || (written(b) && b < a)) continue;
      if (bounds[a].meet(bounds[b])) return false;
    }
  }
  return true;
}

inline void lay_out(const TensorView (&views)[kOperands], Problem* problem) {
  const Spec& spec = problem->spec;
  const int used = spec.symmetric ? kOffsets : kOperands;
  const int n = views[kValues].ndim;
  std::vector<Dim> outer(static_cast<std::size_t>(n - 2));
  for (int w = 0; w < used; ++w) {
    const TensorView& view = views[w];
    const std::int64_t size = item_size(problem->values, w);
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

}  // namespace detail

inline bool read_operands(const Spec& spec, const Arguments& arguments, bool back, bool checked,
                          Problem* problem, int* gpu) {
  const char* const names[kOperands] = {back ? "out" : "x", "codes", "scales", "offsets"};
  const bool with_offsets = arguments.object[kOffsets] != Py_None;
  if (with_offsets == spec.symmetric) return false;
  TensorView views[kOperands];
  const int used = with_offsets ? kOperands : kOffsets;
  for (int w = 0; w < used; ++w) read_tensor(arguments.object[w], names[w], &views[w]);
  problem->spec = spec;
  const bool good = detail::together(views, used, gpu) &&
                    detail::fits(spec, views, arguments, &problem->values);
  if (checked && !good) throw std::logic_error("operands that were checked do not fit");
  if (!good) return false;
  if (!checked && !detail::surely_disjoint(spec, views, problem->values, back)) return false;
  if (gpu != nullptr) *gpu = views[kValues].device_index;
  detail::lay_out(views, problem);
  return true;
}

}  // namespace accel::quantize
