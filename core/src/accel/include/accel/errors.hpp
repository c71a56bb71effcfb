// Raising accel.errors classes from C++.
//
//   accel::fail("SizeError", "dst", "4096 bytes", "100 bytes");
//
// sets the Python error indicator and throws accel::ErrorSet; a binding layer lets it through by
// registering one translator:
//
//   py::register_exception_translator([](std::exception_ptr p) {
//     try { if (p) std::rethrow_exception(p); } catch (const accel::ErrorSet&) {}
//   });
//
// Plain CPython API, no binding library. The GIL must be held.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <exception>
#include <string>
#include <utility>

namespace accel {

// The Python error indicator is set.
class ErrorSet : public std::exception {
 public:
  const char* what() const noexcept override { return "a Python exception is set"; }
};

// An owned reference that is released when it goes out of scope.
class Ref {
 public:
  Ref() = default;
  explicit Ref(PyObject* owned) : object_(owned) {}
  Ref(Ref&& other) noexcept : object_(other.release()) {}
  Ref& operator=(Ref&& other) noexcept {
    PyObject* taken = other.release();
    Py_XDECREF(object_);
    object_ = taken;
    return *this;
  }
  Ref(const Ref&) = delete;
  Ref& operator=(const Ref&) = delete;
  ~Ref() { Py_XDECREF(object_); }

  PyObject* get() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  PyObject* release() {
    PyObject* object = object_;
    object_ = nullptr;
    return object;
  }

 private:
  PyObject* object_ = nullptr;
};

// `owned`, or ErrorSet when it is null.
inline Ref checked(PyObject* owned) {
  if (owned == nullptr) throw ErrorSet();
  return Ref(owned);
}

// The class accel.errors.<name>.
inline Ref error_class(const char* name) {
  Ref module = checked(PyImport_ImportModule("accel.errors"));
  return checked(PyObject_GetAttrString(module.get(), name));
}

namespace detail {

inline Ref text(const std::string& s) {
  return checked(PyUnicode_DecodeUTF8(s.data(), static_cast<Py_ssize_t>(s.size()), "replace"));
}

// Raises `instance`, with the exception that is already set, if any, as its cause.
[[noreturn]] inline void raise_instance(PyObject* cls, Ref instance) {
  if (PyErr_Occurred() != nullptr) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != nullptr) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    PyException_SetCause(instance.get(), value);  // takes the reference
  }
  PyErr_SetObject(cls, instance.get());
  throw ErrorSet();
}

}  // namespace detail

// Raises accel.errors.<name>(argument, expected, given, cure): ArgumentError or one of its kind. An
// exception that is already set becomes the cause.
[[noreturn]] inline void fail(const char* name, const std::string& argument,
                              const std::string& expected, const std::string& given,
                              const std::string& cure = "") {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  Ref cls = error_class(name);
  Ref a = detail::text(argument), e = detail::text(expected), g = detail::text(given),
      c = detail::text(cure);
  Ref instance =
      checked(PyObject_CallFunctionObjArgs(cls.get(), a.get(), e.get(), g.get(), c.get(), nullptr));
  PyErr_Restore(type, value, traceback);
  detail::raise_instance(cls.get(), std::move(instance));
}

// Raises accel.errors.<name>(message), for those that are no argument errors.
[[noreturn]] inline void fail_message(const char* name, const std::string& message) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  Ref cls = error_class(name);
  Ref m = detail::text(message);
  Ref instance = checked(PyObject_CallFunctionObjArgs(cls.get(), m.get(), nullptr));
  PyErr_Restore(type, value, traceback);
  detail::raise_instance(cls.get(), std::move(instance));
}

// Raises accel.errors.CapabilityError(capability, backend, cure).
[[noreturn]] inline void fail_capability(const std::string& capability, const std::string& backend,
                                         const std::string& cure) {
  Ref cls = error_class("CapabilityError");
  Ref a = detail::text(capability), b = detail::text(backend), c = detail::text(cure);
  Ref instance =
      checked(PyObject_CallFunctionObjArgs(cls.get(), a.get(), b.get(), c.get(), nullptr));
  detail::raise_instance(cls.get(), std::move(instance));
}

// repr(object), or its type's name when even that fails.
inline std::string describe(PyObject* object, std::size_t longest = 200) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  std::string result = Py_TYPE(object)->tp_name;
  if (Ref r{PyObject_Repr(object)}) {
    Py_ssize_t size = 0;
    if (const char* s = PyUnicode_AsUTF8AndSize(r.get(), &size)) {
      result.assign(s, static_cast<std::size_t>(size));
      if (result.size() > longest) result = result.substr(0, longest) + "...";
    }
  }
  PyErr_Clear();
  PyErr_Restore(type, value, traceback);
  return result;
}

}  // namespace accel
