// What calls on a pinned pool take from Python: sizes, shapes, NUMA nodes. The GIL must be held.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <string>

#include "errors.hpp"

namespace accel {

namespace detail {

namespace py = pybind11;

struct TensorExtents {
  py::tuple sizes;
  std::size_t count;  // of elements
  bool countable;     // false when the count does not fit 64 bits
};

inline TensorExtents parse_shape(const py::object& shape) {
  const auto refuse = [&] {
    PyErr_Clear();
    fail("ShapeError", "shape", "an integer or a sequence of integers, at least 0",
         describe(shape.ptr()));
  };
  TensorExtents extents{py::tuple(), 1, true};
  if (PyIndex_Check(shape.ptr()) != 0) {
    extents.sizes = py::make_tuple(shape);
  } else {
    extents.sizes = py::reinterpret_steal<py::tuple>(PySequence_Tuple(shape.ptr()));
    if (!extents.sizes) refuse();
  }
  for (const py::handle extent : extents.sizes) {
    const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(extent.ptr()));
    if (!index) refuse();
    const long long n = PyLong_AsLongLong(index.ptr());
    if (n < 0) refuse();
    if (n == 0) return {extents.sizes, 0, true};
    extents.countable =
        extents.countable &&
        !__builtin_mul_overflow(extents.count, static_cast<std::size_t>(n), &extents.count);
  }
  return extents;
}

// Bytes of a tensor of this shape.
inline std::size_t bytes_of_shape(const py::object& shape, std::size_t itemsize) {
  const TensorExtents extents = parse_shape(shape);
  std::size_t nbytes = 0;
  if (!extents.countable || __builtin_mul_overflow(extents.count, itemsize, &nbytes) ||
      nbytes > static_cast<std::size_t>(PY_SSIZE_T_MAX)) {
    fail("SizeError", "shape", "fewer than 2**63 bytes", describe(shape.ptr()));
  }
  return nbytes;
}

inline int node_argument(const py::object& node) {
  if (node.is_none()) return -1;
  const long value = PyLong_AsLong(node.ptr());
  if (value == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    fail("ArgumentError", "numa_node", "a node number, or None", describe(node.ptr()));
  }
  if (value < 0 || value > 1 << 16) {
    fail("ArgumentError", "numa_node", "one of this machine's NUMA nodes", std::to_string(value));
  }
  return static_cast<int>(value);
}

inline std::size_t size_argument(const py::object& nbytes, const char* name = "nbytes") {
  py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(nbytes.ptr()));
  if (!index) {
    PyErr_Clear();
    fail("DTypeError", name, "a number of bytes", describe(nbytes.ptr()));
  }
  const long long value = PyLong_AsLongLong(index.ptr());
  if (value < 0 || PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    fail("SizeError", name, "0 to 2**63 - 1 bytes", describe(nbytes.ptr()));
  }
  return static_cast<std::size_t>(value);
}

// A shape over a buffer of nbytes, as a tensor of `dtype`.
inline py::object tensor_over(const py::object& self, std::size_t buffer_bytes, py::object dtype,
                              const py::object& shape) {
  using py::literals::operator""_a;
  const py::module_ torch = py::module_::import("torch");
  if (dtype.is_none()) dtype = torch.attr("uint8");
  if (!py::isinstance(dtype, torch.attr("dtype"))) {
    fail("DTypeError", "dtype", "a torch.dtype", describe(dtype.ptr()));
  }
  const auto itemsize = py::cast<std::size_t>(dtype.attr("itemsize"));
  TensorExtents extents{py::make_tuple(buffer_bytes / itemsize), buffer_bytes / itemsize, true};
  if (!shape.is_none()) {
    extents = parse_shape(shape);
    if (!extents.countable || extents.count > buffer_bytes / itemsize) {
      fail("SizeError", "shape",
           "at most " + std::to_string(buffer_bytes) + " bytes, the size of the buffer",
           describe(shape.ptr()) + " of " + std::to_string(itemsize) + "-byte elements");
    }
  }
  const auto& [sizes, count, countable] = extents;
  if (count == 0) return torch.attr("empty")(sizes, "dtype"_a = dtype);
  return torch.attr("frombuffer")(self, "dtype"_a = dtype, "count"_a = count).attr("view")(sizes);
}

}  // namespace detail

}  // namespace accel
