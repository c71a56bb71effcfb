// A torch tensor's address, extents and strides, read in some ten nanoseconds without linking
// torch: through the DLPack exchange table where torch.Tensor has one, else attribute by attribute.
#pragma once

#include <accel/operand.hpp>

#include <cstdint>
#include <vector>

namespace accel_cpu::kv {

// Borrows from the tensor: valid while it lives unchanged. The GIL must be held.
struct TensorView {
  std::uintptr_t data = 0;
  int ndim = 0;
  const std::int64_t* shape = nullptr;
  const std::int64_t* strides = nullptr;  // elements
  std::uint64_t dtype = 0;                // equal for equal dtypes; no meaning otherwise
  bool is_int32 = false, is_int64 = false, is_float32 = false;
  bool is_cpu = false;

  TensorView() = default;
  TensorView(const TensorView&) = delete;
  TensorView& operator=(const TensorView&) = delete;

  std::int64_t numel() const;

 private:
  friend void read_tensor(PyObject* object, const char* argument, TensorView* out);
  std::vector<std::int64_t> extents_;  // where they had to be copied
};

// Whether it is a torch.Tensor at all.
bool is_tensor(PyObject* object);

// Raises DTypeError, naming `argument`, for what is no strided tensor, and FreedError for a tensor
// on the host whose storage was resized to 0.
void read_tensor(PyObject* object, const char* argument, TensorView* out);

// The address alone. False, without a Python error, when it cannot be told.
bool tensor_address(PyObject* tensor, std::uintptr_t* address);

// Whether the exchange table is used; returns what was so before. False stays false where torch has
// none. For tests, which compare the two ways.
bool use_exchange_table(bool wanted);

}  // namespace accel_cpu::kv
