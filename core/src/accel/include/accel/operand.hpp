// What a copy or a kernel takes: a torch tensor or an accel.MemRef, read without linking torch.
//
//   accel::Operand dst = accel::Operand::parse(object, "dst");          // raises DTypeError, ...
//   dst.require_cpu();                                                  // or compare dst.device()
//   if (!dst.contiguous) accel::Strides s = dst.strides();
//
// Only what every call needs is read at once (about 0.2 us for a tensor); shape, strides and dtype
// are read when asked for. References are borrowed: the object must outlive the Operand. The GIL
// must be held throughout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "errors.hpp"

namespace accel {

namespace detail {

// Attribute names, interned once, and the classes that operands are instances of.
struct Names {
  PyObject* data_ptr = PyUnicode_InternFromString("data_ptr");
  PyObject* nbytes = PyUnicode_InternFromString("nbytes");
  PyObject* is_cpu = PyUnicode_InternFromString("is_cpu");
  PyObject* is_contiguous = PyUnicode_InternFromString("is_contiguous");
  PyObject* is_conj = PyUnicode_InternFromString("is_conj");
  PyObject* is_neg = PyUnicode_InternFromString("is_neg");
  PyObject* is_complex = PyUnicode_InternFromString("is_complex");
  PyObject* layout = PyUnicode_InternFromString("layout");
  PyObject* shape = PyUnicode_InternFromString("shape");
  PyObject* stride = PyUnicode_InternFromString("stride");
  PyObject* dtype = PyUnicode_InternFromString("dtype");
  PyObject* itemsize = PyUnicode_InternFromString("itemsize");
  PyObject* device = PyUnicode_InternFromString("device");
  PyObject* type = PyUnicode_InternFromString("type");
  PyObject* pointer = PyUnicode_InternFromString("pointer");
  PyObject* owner = PyUnicode_InternFromString("owner");
  PyObject* untyped_storage = PyUnicode_InternFromString("untyped_storage");
};

inline const Names& names() {
  static const Names* all = new Names;  // never destroyed: the interpreter may be gone by then
  return *all;
}

inline Ref attribute(PyObject* object, PyObject* name) {
  return checked(PyObject_GetAttr(object, name));
}

inline Ref attribute_or_none(PyObject* object, PyObject* name) {
  PyObject *type, *value, *traceback;  // an exception that is set stays so
  PyErr_Fetch(&type, &value, &traceback);
  Ref found{PyObject_GetAttr(object, name)};
  if (!found) {
    PyErr_Clear();
    Py_INCREF(Py_None);
    found = Ref(Py_None);
  }
  PyErr_Restore(type, value, traceback);
  return found;
}

inline Ref call_method(PyObject* object, PyObject* name) {
  return checked(PyObject_CallMethodNoArgs(object, name));
}

inline bool is_true(const Ref& object) {
  if (object.get() == Py_True) return true;
  if (object.get() == Py_False) return false;
  const int truth = PyObject_IsTrue(object.get());
  if (truth < 0) throw ErrorSet();
  return truth != 0;
}

// torch.Tensor once torch was imported, null before: then nothing can be a tensor.
inline PyTypeObject* tensor_type() {
  static PyTypeObject* found = nullptr;
  if (found != nullptr) return found;
  PyObject* modules = PyImport_GetModuleDict();
  PyObject* torch = PyDict_GetItemString(modules, "torch");
  if (torch == nullptr) return nullptr;
  Ref type{PyObject_GetAttrString(torch, "Tensor")};
  if (!type) PyErr_Clear();  // torch is being imported at this very moment
  if (type && PyType_Check(type.get())) {
    found = reinterpret_cast<PyTypeObject*>(type.release());
  }
  return found;
}

inline PyTypeObject* memref_type() {
  static PyTypeObject* found = nullptr;
  if (found == nullptr) {
    Ref module = checked(PyImport_ImportModule("accel.providers.memcpy"));
    found = reinterpret_cast<PyTypeObject*>(
        checked(PyObject_GetAttrString(module.get(), "MemRef")).release());
  }
  return found;
}

}  // namespace detail

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
  bool contiguous = true;

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
    const auto& n = detail::names();
    result.itemsize = to_int(detail::attribute(object, n.itemsize));
    result.shape = to_ints(shape());
    result.bytes = to_ints(detail::call_method(object, n.stride));
    for (auto& stride : result.bytes) stride *= result.itemsize;
    return result;
  }

 private:
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
    is_cpu = detail::is_true(detail::attribute(object, n.is_cpu));
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
    // An emptied storage leaves the address at null plus the offset, which no mapping comes near.
    constexpr std::uintptr_t kLowestUsual = std::uintptr_t{1} << 40;
    if (is_cpu && pointer < kLowestUsual) refuse_emptied_storage();
    if (detail::is_true(detail::call_method(object, n.is_neg)) ||
        (detail::is_true(detail::call_method(object, n.is_complex)) &&
         detail::is_true(detail::call_method(object, n.is_conj)))) {
      fail("DTypeError", name, "a tensor whose bytes are its values",
           "a lazily conjugated or negated view", "pass tensor.resolve_conj().resolve_neg()");
    }
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
    Ref where = detail::attribute(object, n.device);
    Ref type{PyObject_GetAttr(where.get(), n.type)};
    if (!type || !PyUnicode_Check(type.get())) {
      fail("DeviceError", name + ".device", "a torch.device", describe(where.get()));
    }
    is_cpu = PyUnicode_CompareWithASCIIString(type.get(), "cpu") == 0;
  }
};

}  // namespace accel
