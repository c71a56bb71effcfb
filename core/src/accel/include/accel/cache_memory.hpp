// What is known of a cache once it was resolved: its packed plan, and where its tensors were.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tensor_view.hpp"
#include "tensor_words.hpp"

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

 private:
  void check_one(const detail::TensorWords* words, PyObject* held, std::size_t at,
                 const char* argument) const;
  mutable std::vector<TensorMark> marks_;  // of the tensors, once they were found in their places
};

namespace detail {

inline Ref tensors_of(PyObject* cache) {
  static PyObject* const name = PyUnicode_InternFromString("tensors");
  return checked(PyObject_GetAttr(cache, name));
}

}  // namespace detail

inline void CacheMemory::check_one(const detail::TensorWords* words, PyObject* held,
                                   std::size_t at, const char* argument) const {
  PyObject* const tensor = PyTuple_GET_ITEM(held, static_cast<Py_ssize_t>(at));
  if (words != nullptr && marks_[at].holds(*words, tensor)) return;
  std::uintptr_t now = 0;
  if (!tensor_address(tensor, &now) || now != tensors[at]) {
    fail("FreedError", argument, "tensors that still have their memory",
         "tensor " + std::to_string(at) + " was freed, resized or given other memory",
         "build a new KVCache after reallocating");
  }
  if (words != nullptr) marks_[at].take(*words, tensor);
}

inline void CacheMemory::check(PyObject* cache, const char* argument) const {
  const Ref held = detail::tensors_of(cache);
  const detail::TensorWords* const words = detail::tensor_words();
  marks_.resize(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) check_one(words, held.get(), i, argument);
}

inline void CacheMemory::check(PyObject* cache, const char* argument,
                               const std::vector<std::size_t>& which) const {
  const Ref held = detail::tensors_of(cache);
  const detail::TensorWords* const words = detail::tensor_words();
  marks_.resize(tensors.size());
  for (const std::size_t i : which) check_one(words, held.get(), i, argument);
}

}  // namespace accel
