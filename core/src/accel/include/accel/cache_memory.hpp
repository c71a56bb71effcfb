// What is known of a cache once it was resolved: its packed plan, and where its tensors were.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tensor_view.hpp"

namespace accel {

// The structs of accel/kv_address.h that a plan of accel.kv packs. Throws std::invalid_argument.
template <class Plane>
std::vector<Plane> unpack_plan(std::string_view packed) {
  if (packed.empty() || packed.size() % sizeof(Plane) != 0) {
    throw std::invalid_argument("a plan is packed accel_kv_plane or accel_kv_elements structs");
  }
  std::vector<Plane> planes(packed.size() / sizeof(Plane));
  std::memcpy(planes.data(), packed.data(), packed.size());
  return planes;
}

// The addresses that a cache's tensors had when it was made.
struct CacheMemory {
  std::vector<std::uintptr_t> tensors;

  // Raises FreedError, naming `argument`, when one of cache.tensors is elsewhere now.
  void check(PyObject* cache, const char* argument) const;
  void check(PyObject* cache, const char* argument, const std::vector<std::size_t>& which) const;
};

namespace detail {

inline Ref tensors_of(PyObject* cache) {
  static PyObject* const name = PyUnicode_InternFromString("tensors");
  return checked(PyObject_GetAttr(cache, name));
}

inline void check_tensor(PyObject* tensors, std::size_t at, std::uintptr_t expected,
                         const char* argument) {
  std::uintptr_t now = 0;
  if (tensor_address(PyTuple_GET_ITEM(tensors, static_cast<Py_ssize_t>(at)), &now) &&
      now == expected) {
    return;
  }
  fail("FreedError", argument, "tensors that still have their memory",
       "tensor " + std::to_string(at) + " was freed, resized or given other memory",
       "build a new KVCache after reallocating");
}

}  // namespace detail

inline void CacheMemory::check(PyObject* cache, const char* argument) const {
  const Ref held = detail::tensors_of(cache);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    detail::check_tensor(held.get(), i, tensors[i], argument);
  }
}

inline void CacheMemory::check(PyObject* cache, const char* argument,
                               const std::vector<std::size_t>& which) const {
  const Ref held = detail::tensors_of(cache);
  for (const std::size_t i : which) detail::check_tensor(held.get(), i, tensors[i], argument);
}

}  // namespace accel
