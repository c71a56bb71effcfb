#include "scale_arguments.hpp"

#include <accel/errors.hpp>
#include <cfloat>
#include <stdexcept>
#include <string>

namespace accel_cpu::kv {

using accel::is_tensor;
using accel::read_tensor;
using accel::TensorView;

namespace {

bool is_scale(float x) { return x > 0 && x <= FLT_MAX; }

std::string as_python_says(float x) {
  char* text = PyOS_double_to_string(static_cast<double>(x), 'r', 0, Py_DTSF_ADD_DOT_0, nullptr);
  if (text == nullptr) throw accel::ErrorSet();
  std::string copy = text;
  PyMem_Free(text);
  return copy;
}

}  // namespace

bool TokenScale::read(PyObject* object, const char* argument, std::int64_t tokens,
                      std::int64_t heads) {
  if (PyFloat_Check(object) || PyLong_CheckExact(object)) {
    const double number = PyFloat_AsDouble(object);
    PyErr_Clear();  // an integer beyond any float; -1 stands for it
    number_ = static_cast<float>(number);
    return is_scale(number_);
  }
  if (!is_tensor(object)) return false;
  read_tensor(object, argument, &view_);
  if (!view_.is_float32 || !view_.is_cpu || view_.ndim > 2) return false;
  values_ = reinterpret_cast<const float*>(view_.data);
  const std::int64_t last = view_.ndim == 0 ? 1 : view_.shape[view_.ndim - 1];
  if (last != 1 && last != heads) return false;
  if (view_.ndim == 2 && view_.shape[0] != tokens) return false;
  if (view_.ndim == 2) token_step_ = view_.strides[0];
  per_token_ = view_.ndim == 2;
  per_head_ = last > 1;
  if (per_head_) {
    heads_ = heads;
    head_step_ = view_.strides[view_.ndim - 1];
  }
  return true;
}

ScaleTable TokenScale::table(const char* argument, const std::vector<std::int64_t>& rows) const {
  ScaleTable table;
  const auto heads = static_cast<std::size_t>(heads_);
  const std::size_t count = per_token_ ? rows.size() : 1;
  table.step = per_token_ ? heads : 0;
  table.values.resize(count * heads);
  float* to = table.values.data();
  for (std::size_t i = 0; i < count; ++i) {
    const float* from = values_ + rows[i] * token_step_;
    for (std::size_t h = 0; h < heads; ++h) {
      const float scale = from[static_cast<std::int64_t>(h) * head_step_];
      if (!is_scale(scale)) {
        accel::fail("ArgumentError", argument, "scales that are finite and above 0",
                    as_python_says(scale) + " at [" + std::to_string(rows[i]) + ", " +
                        std::to_string(h) + "]",
                    "give what a code is multiplied by to get the value back");
      }
      *to++ = scale;
    }
  }
  return table;
}

ScaleTable read_cache_scales(PyObject* object, const char* argument, bool per_head) {
  ScaleTable table;
  if (object == Py_None) return table;
  TensorView view;
  read_tensor(object, argument, &view);
  if (!view.is_float32 || !view.is_cpu || view.ndim != 3) {
    throw std::invalid_argument("scales are float32 [layers, planes, heads] on the host");
  }
  const std::int64_t heads = per_head ? view.shape[2] : 1;
  table.step = static_cast<std::size_t>(heads);
  const auto* values = reinterpret_cast<const float*>(view.data);
  for (std::int64_t layer = 0; layer < view.shape[0]; ++layer) {
    for (std::int64_t plane = 0; plane < view.shape[1]; ++plane) {
      for (std::int64_t head = 0; head < heads; ++head) {
        table.values.push_back(values[layer * view.strides[0] + plane * view.strides[1] +
                                      head * view.strides[2]]);
      }
    }
  }
  return table;
}

}  // namespace accel_cpu::kv
