// The scale arguments of KV kernels: accel/kv/scales.py for calls that should take no time.
#pragma once

#include <accel/tensor_view.hpp>

#include <cstdint>
#include <vector>

#include "elements.hpp"

namespace accel_cpu::kv {

// A scale of `write`: a float, or a float32 tensor on the host, of one of the shapes that
// accel.kv.scales.token_scales takes. Borrows from the argument.
class TokenScale {
 public:
  // False for anything else, and for a number that is no scale: token_scales has the words.
  // FreedError for a tensor without memory.
  bool read(PyObject* object, const char* argument, std::int64_t tokens, std::int64_t heads);

  bool per_head() const { return per_head_; }

  // A copy of what the tokens `rows` are divided by, row i for rows[i]. Raises ArgumentError, as
  // accel.kv.scales.check_scales does, for one that is not finite and above 0.
  ScaleTable table(const char* argument, const std::vector<std::int64_t>& rows) const;

 private:
  float number_ = 1.0f;
  accel::TensorView view_;
  const float* values_ = &number_;
  std::int64_t heads_ = 1;
  bool per_token_ = false, per_head_ = false;
  std::int64_t token_step_ = 0, head_step_ = 0;  // elements
};

// A copy of float32 [layers, planes, heads] on the host, one row for each layer and plane; of the
// first head alone unless per_head. No scales for None.
ScaleTable read_cache_scales(PyObject* object, const char* argument, bool per_head);

}  // namespace accel_cpu::kv
