// What a copy or a kernel takes: a torch tensor or an accel.MemRef, read without linking torch.
//
//   accel::Operand dst = accel::Operand::parse(object, "dst");          // raises DTypeError, ...
//   dst.require_cpu();                                                  // or compare dst.device()
//   if (!dst.contiguous) accel::Strides s = dst.strides();
//
// Only what every call needs is read at once (about 0.1 us for a tensor that the DLPack exchange
// table knows, else 0.3); shape, strides and dtype are read when asked for. References are
// borrowed: the object must outlive the Operand, unchanged. The GIL must be held throughout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dlpack_view.hpp"
#include "torch_object.hpp"

namespace accel {

// Shape and byte strides of a tensor.
struct Strides {
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> bytes;
  std::int64_t itemsize = 1;
};

struct Operand {
  PyObject* object = nullptr;  // borrowed: the tensor or the MemRef
  std::string name;            // the argument's name, for errors
  std::uintptr_t pointer = 0;
  std::size_t nbytes = 0;
  bool is_tensor = false;
  bool is_cpu = false;
  bool is_gpu = false;   // torch calls the device "cuda": NVIDIA, or HIP
  bool is_private = false;  // of the vendor's device that this library names (private_device)
  int device_index = 0;  // of a device's memory; -1 for a MemRef that leaves it open
  bool contiguous = true;
  bool has_owner = false;  // a MemRef that keeps something alive

  // Raises DTypeError (neither tensor nor MemRef, no strided storage, a lazily conjugated or
  // negated view), FreedError, SizeError, ArgumentError. The device is not looked at but for
  // `is_cpu`; a tensor of another device is accepted here.
  static Operand parse(PyObject* object, const char* name) {
    Operand result;
    result.object = object;
    result.name = name;
    PyTypeObject* const type = Py_TYPE(object);
    PyTypeObject* const tensor = detail::tensor_type();
    if (tensor != nullptr && (type == tensor || PyType_IsSubtype(type, tensor))) {
      result.is_tensor = true;
      result.parse_tensor();
    } else if (PyType_IsSubtype(type, detail::memref_type())) {
      result.parse_memref();
    } else {
      fail("DTypeError", name, "a torch.Tensor or an accel.MemRef", describe(object));
    }
    return result;
  }

  // torch.device of the operand.
  Ref device() const { return detail::attribute(object, detail::names().device); }

  void require_cpu() const {
    if (is_cpu) return;
    fail("DeviceError", name, "memory of device cpu", describe(device().get()));
  }

  // What has to stay alive while work uses the memory (borrowed).
  PyObject* keep() const { return object; }

  Ref dtype() const { return detail::attribute(object, detail::names().dtype); }
  Ref shape() const { return detail::attribute(object, detail::names().shape); }

  Strides strides() const {
    Strides result;
    if (viewed_) {
      result.itemsize = (view_.bits * view_.lanes + 7) / 8;
      result.shape.assign(view_.shape, view_.shape + view_.ndim);
      result.bytes.assign(view_.strides, view_.strides + view_.ndim);
      for (auto& stride : result.bytes) stride *= result.itemsize;
      return result;
    }
    const auto& n = detail::names();
    result.itemsize = to_int(detail::attribute(object, n.itemsize));
    result.shape = to_ints(shape());
    result.bytes = to_ints(detail::call_method(object, n.stride));
    for (auto& stride : result.bytes) stride *= result.itemsize;
    return result;
  }

  // Whether two tensors have one dtype and one shape, where that can be told at once.
  enum class Alike { Yes, No, Unknown };
  static Alike alike(const Operand& a, const Operand& b) {
    if (!a.viewed_ || !b.viewed_) return Alike::Unknown;
    const detail::DlTensor &x = a.view_, &y = b.view_;
    if (x.code != y.code || x.bits != y.bits || x.lanes != y.lanes || x.ndim != y.ndim) {
      return Alike::No;
    }
    for (int k = 0; k < x.ndim; ++k) {
      if (x.shape[k] != y.shape[k]) return Alike::No;
    }
    return Alike::Yes;
  }

 private:
  detail::DlTensor view_;  // borrows from the tensor; set where viewed_
  bool viewed_ = false;

  static std::int64_t to_int(const Ref& object) {
    const long long value = PyLong_AsLongLong(object.get());
    if (value == -1 && PyErr_Occurred() != nullptr) throw ErrorSet();
    return value;
  }

  static std::vector<std::int64_t> to_ints(const Ref& sequence) {
    Ref fast = checked(PySequence_Fast(sequence.get(), "a sequence of integers"));
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(fast.get());
    std::vector<std::int64_t> values(static_cast<std::size_t>(count));
    for (Py_ssize_t i = 0; i < count; ++i) {
      values[static_cast<std::size_t>(i)] =
          PyLong_AsLongLong(PySequence_Fast_GET_ITEM(fast.get(), i));
    }
    if (PyErr_Occurred() != nullptr) throw ErrorSet();
    return values;
  }

  void parse_tensor() {
    const auto& n = detail::names();
    viewed_ = detail::view_tensor(object, &view_);
    if (viewed_) {
      parse_view();
    } else {
      parse_attributes();
    }
    if (nbytes == 0) return;
    // An emptied storage leaves the address at null plus the offset, which no mapping comes near.
    constexpr std::uintptr_t kLowestUsual = std::uintptr_t{1} << 40;
    if (pointer < kLowestUsual && (is_cpu || is_gpu || is_private)) refuse_emptied_storage();
    if (may_be_lazy() &&
        (detail::is_true(detail::call_method(object, n.is_neg)) ||
         (detail::is_true(detail::call_method(object, n.is_complex)) &&
          detail::is_true(detail::call_method(object, n.is_conj))))) {
      fail("DTypeError", name, "a tensor whose bytes are its values",
           "a lazily conjugated or negated view", "pass tensor.resolve_conj().resolve_neg()");
    }
  }

  // Complex tensors, and the real and imaginary parts of conjugated ones.
  bool may_be_lazy() const {
    return !viewed_ || view_.code == detail::kDlComplex || view_.code == detail::kDlFloat;
  }

  void parse_view() {
    is_cpu = view_.device_type == detail::kDlCpu;
    is_gpu = view_.device_type == detail::kDlCuda || view_.device_type == detail::kDlRocm;
    is_private = view_.device_type == detail::kDlExtension && !detail::private_device().empty();
    device_index = view_.device_id;
    pointer = reinterpret_cast<std::uintptr_t>(view_.data) + view_.byte_offset;
    std::int64_t dense = 1;  // elements that a contiguous tensor has inside of each axis
    for (int k = view_.ndim; k-- > 0;) {
      if (view_.shape[k] != 1 && view_.strides[k] != dense) contiguous = false;
      dense *= view_.shape[k];
    }
    nbytes = static_cast<std::size_t>(dense) *
             ((static_cast<std::size_t>(view_.bits) * view_.lanes + 7) / 8);
    if (nbytes == 0) contiguous = true;
  }

  void parse_attributes() {
    const auto& n = detail::names();
    const detail::Place place = detail::place_of(object);
    is_cpu = place.is_cpu;
    is_gpu = place.is_gpu;
    is_private = place.is_private;
    device_index = place.index;
    Ref address{PyObject_CallMethodNoArgs(object, n.data_ptr)};
    if (!address) {  // sparse, fake, functional: tensors without a storage of their own
      fail("DTypeError", name, "a dense tensor with a storage",
           "a tensor of layout " + describe(detail::attribute_or_none(object, n.layout).get()));
    }
    pointer = static_cast<std::uintptr_t>(PyLong_AsUnsignedLongLong(address.get()));
    if (PyErr_Occurred() != nullptr) throw ErrorSet();
    nbytes = static_cast<std::size_t>(to_int(detail::attribute(object, n.nbytes)));
    if (nbytes == 0) return;
    contiguous = detail::is_true(detail::call_method(object, n.is_contiguous));
  }

  void refuse_emptied_storage() const {
    const auto& n = detail::names();
    Ref storage = detail::call_method(object, n.untyped_storage);
    if (to_int(detail::call_method(storage.get(), n.nbytes)) != 0) return;
    fail("FreedError", name, "a tensor with memory",
         "a tensor of " + std::to_string(nbytes) + " bytes whose storage was resized to 0");
  }

  void parse_memref() {
    const auto& n = detail::names();
    Ref address = detail::attribute(object, n.pointer);
    pointer = static_cast<std::uintptr_t>(PyLong_AsUnsignedLongLong(address.get()));
    if (PyErr_Occurred() != nullptr) {
      fail("ArgumentError", name + ".pointer", "an address", describe(address.get()));
    }
    Ref size = detail::attribute(object, n.nbytes);
    const long long signed_size = PyLong_AsLongLong(size.get());
    if (PyErr_Occurred() != nullptr || signed_size < 0) {
      fail("SizeError", name + ".nbytes", "a number of bytes, at least 0", describe(size.get()));
    }
    nbytes = static_cast<std::size_t>(signed_size);
    if (nbytes > 0 && pointer == 0) {
      fail("ArgumentError", name + ".pointer", "an address", "0");
    }
    if (nbytes > UINTPTR_MAX - pointer) {
      fail("SizeError", name + ".nbytes", "a range within the address space",
           std::to_string(nbytes) + " bytes at " + std::to_string(pointer));
    }
    has_owner = detail::attribute(object, n.owner).get() != Py_None;
    Ref where = detail::attribute(object, n.device);
    Ref type{PyObject_GetAttr(where.get(), n.type)};
    if (!type || !PyUnicode_Check(type.get())) {
      fail("DeviceError", name + ".device", "a torch.device", describe(where.get()));
    }
    is_cpu = PyUnicode_CompareWithASCIIString(type.get(), "cpu") == 0;
    is_gpu = PyUnicode_CompareWithASCIIString(type.get(), "cuda") == 0;
    is_private = detail::is_private_type(type.get());
    if (!is_gpu && !is_private) return;
    Ref index{PyObject_GetAttr(where.get(), n.index)};
    if (!index) throw ErrorSet();
    device_index = index.get() == Py_None ? -1 : static_cast<int>(to_int(index));
  }
};

}  // namespace accel
