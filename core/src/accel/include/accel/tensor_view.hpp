// A torch tensor's address, extents and strides, read in some ten nanoseconds without linking
// torch: through the DLPack exchange table where torch.Tensor has one, else attribute by attribute.
#pragma once

#include <cstdint>
#include <vector>

#include "dlpack_view.hpp"
#include "torch_object.hpp"

namespace accel {

// Borrows from the tensor: valid while it lives unchanged. The GIL must be held.
struct TensorView {
  std::uintptr_t data = 0;
  int ndim = 0;
  const std::int64_t* shape = nullptr;
  const std::int64_t* strides = nullptr;  // elements
  std::uint64_t dtype = 0;                // equal for equal dtypes; no meaning otherwise
  bool is_int32 = false, is_int64 = false, is_float32 = false;
  bool is_cpu = false;
  bool is_gpu = false;    // torch calls the device "cuda": NVIDIA, or HIP
  int device_index = 0;

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
// whose storage was resized to 0.
void read_tensor(PyObject* object, const char* argument, TensorView* out);

// The address alone. False, without a Python error, when it cannot be told.
bool tensor_address(PyObject* tensor, std::uintptr_t* address);

// Whether the exchange table is used; returns what was so before. False stays false where torch has
// none. For tests, which compare the two ways.
bool use_exchange_table(bool wanted);

namespace detail {

inline void append_ints(const Ref& sequence, std::vector<std::int64_t>* out) {
  Ref fast = checked(PySequence_Fast(sequence.get(), "a sequence of integers"));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
    out->push_back(to_int(PySequence_Fast_GET_ITEM(fast.get(), i)));
  }
}

// torch.<name>, kept for good: dtypes are single objects.
inline PyObject* torch_attribute(const char* name) {
  Ref torch = checked(PyImport_ImportModule("torch"));
  return checked(PyObject_GetAttrString(torch.get(), name)).release();
}

}  // namespace detail

inline bool is_tensor(PyObject* object) {
  PyTypeObject* tensor = detail::tensor_type();
  if (tensor == nullptr) return false;
  return Py_TYPE(object) == tensor || PyType_IsSubtype(Py_TYPE(object), tensor);
}

inline std::int64_t TensorView::numel() const {
  std::int64_t n = 1;
  for (int i = 0; i < ndim; ++i) n *= shape[i];
  return n;
}

inline bool tensor_address(PyObject* tensor, std::uintptr_t* address) {
  detail::DlTensor view;
  if (detail::view_tensor(tensor, &view)) {
    *address = reinterpret_cast<std::uintptr_t>(view.data) + view.byte_offset;
    return true;
  }
  Ref value{PyObject_CallMethodNoArgs(tensor, detail::names().data_ptr)};
  if (value) *address = static_cast<std::uintptr_t>(PyLong_AsUnsignedLongLong(value.get()));
  const bool known = PyErr_Occurred() == nullptr;
  PyErr_Clear();
  return known;
}

inline bool use_exchange_table(bool wanted) {
  const bool before = detail::exchange_table() != nullptr;
  detail::table_wanted = wanted;
  return before;
}

inline void read_tensor(PyObject* object, const char* argument, TensorView* out) {
  if (!is_tensor(object)) fail("DTypeError", argument, "a tensor", Py_TYPE(object)->tp_name);
  detail::DlTensor view;
  if (detail::view_tensor(object, &view)) {
    out->data = reinterpret_cast<std::uintptr_t>(view.data) + view.byte_offset;
    out->ndim = view.ndim;
    out->shape = view.shape;
    out->strides = view.strides;
    out->dtype = std::uint64_t{view.lanes} << 16 | std::uint64_t{view.code} << 8 | view.bits;
    out->is_int32 = view.code == detail::kDlInt && view.bits == 32 && view.lanes == 1;
    out->is_int64 = view.code == detail::kDlInt && view.bits == 64 && view.lanes == 1;
    out->is_float32 = view.code == detail::kDlFloat && view.bits == 32 && view.lanes == 1;
    out->is_cpu = view.device_type == detail::kDlCpu;
    out->is_gpu = view.device_type == detail::kDlCuda || view.device_type == detail::kDlRocm;
    out->device_index = view.device_id;
  } else {
    static PyObject* const int32 = detail::torch_attribute("int32");
    static PyObject* const int64 = detail::torch_attribute("int64");
    static PyObject* const float32 = detail::torch_attribute("float32");
    const auto& names = detail::names();
    Ref address{PyObject_CallMethodNoArgs(object, names.data_ptr)};
    if (!address) {
      fail("DTypeError", argument, "a dense tensor with a storage",
           "a tensor of layout " +
               describe(detail::attribute_or_none(object, names.layout).get()));
    }
    out->data = static_cast<std::uintptr_t>(PyLong_AsUnsignedLongLong(address.get()));
    if (PyErr_Occurred() != nullptr) throw ErrorSet();
    out->extents_.clear();
    detail::append_ints(detail::attribute(object, names.shape), &out->extents_);
    out->ndim = static_cast<int>(out->extents_.size());
    detail::append_ints(detail::call_method(object, names.stride), &out->extents_);
    out->shape = out->extents_.data();
    out->strides = out->shape + out->ndim;
    Ref dtype = detail::attribute(object, names.dtype);
    out->dtype = reinterpret_cast<std::uintptr_t>(dtype.get());
    out->is_int32 = dtype.get() == int32;
    out->is_int64 = dtype.get() == int64;
    out->is_float32 = dtype.get() == float32;
    const detail::Place place = detail::place_of(object);
    out->is_cpu = place.is_cpu;
    out->is_gpu = place.is_gpu;
    out->device_index = place.index;
  }
  // An emptied storage leaves the address at null plus the offset, which no mapping comes near.
  constexpr std::uintptr_t kLowestUsual = std::uintptr_t{1} << 40;
  if (out->data < kLowestUsual && (out->is_cpu || out->is_gpu) && out->numel() != 0) {
    const auto& names = detail::names();
    Ref storage = detail::call_method(object, names.untyped_storage);
    if (detail::to_int(detail::call_method(storage.get(), names.nbytes).get()) == 0) {
      fail("FreedError", argument, "a tensor that still has its memory",
           "a tensor whose storage was resized to 0");
    }
    if (out->data == 0) {  // fake tensors of torch's compiler
      fail("DTypeError", argument, "a tensor with memory",
           describe(reinterpret_cast<PyObject*>(Py_TYPE(object))));
    }
  }
}

}  // namespace accel
