// Reading attributes of torch's objects, and knowing them, without linking torch. The GIL must be
// held.
#pragma once

#include <cstdint>
#include <string>

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
  PyObject* index = PyUnicode_InternFromString("index");
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

inline std::int64_t to_int(PyObject* object) {
  const long long value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred() != nullptr) throw ErrorSet();
  return value;
}

// torch's name of the vendor's device that this library is for ("npu"), where that is not one of
// torch's own; set when the library is loaded. Only one vendor's can be there in a process.
inline std::string& private_device() {
  static auto* only = new std::string;
  return *only;
}

inline bool is_private_type(PyObject* type) {
  return !private_device().empty() && PyUnicode_Check(type) &&
         PyUnicode_CompareWithASCIIString(type, private_device().c_str()) == 0;
}

// Where a tensor without a view lies: what read_tensor tells of it.
struct Place {
  bool is_cpu = false, is_gpu = false, is_private = false;
  int index = 0;
};

inline Place place_of(PyObject* tensor) {
  Place place;
  place.is_cpu = is_true(attribute(tensor, names().is_cpu));
  if (place.is_cpu) return place;
  Ref device = attribute(tensor, names().device);
  Ref type = attribute(device.get(), names().type);
  place.is_gpu = PyUnicode_Check(type.get()) &&
                 PyUnicode_CompareWithASCIIString(type.get(), "cuda") == 0;
  place.is_private = is_private_type(type.get());
  Ref index{PyObject_GetAttr(device.get(), names().index)};
  if (!index) throw ErrorSet();
  if (index.get() != Py_None) place.index = static_cast<int>(to_int(index.get()));
  return place;
}

}  // namespace detail

}  // namespace accel
