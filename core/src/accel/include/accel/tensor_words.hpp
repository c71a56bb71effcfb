// Whether a tensor still has the memory that it had, in a few nanoseconds.
//
// A tensor's Python object leads to its storage, and that to the memory, by pointers whose places
// depend on the build of torch. torch tells the addresses at the pointers' ends (`_cdata`), so the
// places are found by looking for those in tensors made for it; where that does not come out the
// same for all of them nothing is found, and callers ask torch. The GIL must be held.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "dlpack_view.hpp"
#include "torch_object.hpp"

namespace accel {

namespace detail {

using Word = std::uintptr_t;

// Where the pointers are, in words from the start of what holds them.
struct TensorWords {
  std::size_t tensor = 0;   // of a Python object: its tensor
  std::size_t storage = 0;  // of a tensor: its storage
  std::size_t offset = 0;   // of a tensor: where its first element is in the storage
  std::size_t memory = 0;   // of a storage: its memory, then two words on who owns and frees that
};

inline Word word_at(Word address, std::size_t index) {
  Word value;
  std::memcpy(&value, reinterpret_cast<const char*>(address) + index * sizeof value, sizeof value);
  return value;
}

// Keeps of `places` those where `content`, `words` long, holds `value`.
inline void keep_places(std::vector<std::size_t>* places, Word content, std::size_t words,
                        Word value) {
  std::vector<std::size_t> kept;
  for (const std::size_t place : *places) {
    if (place < words && word_at(content, place) == value) kept.push_back(place);
  }
  *places = std::move(kept);
}

inline Word number_of(PyObject* object, const char* name, bool call) {
  Ref value = checked(PyObject_GetAttrString(object, name));
  if (call) value = checked(PyObject_CallNoArgs(value.get()));
  const Word number = static_cast<Word>(PyLong_AsUnsignedLongLong(value.get()));
  if (PyErr_Occurred() != nullptr) throw ErrorSet();
  return number;
}

// Tensors whose words differ: views, and one of memory that is another object's.
inline Ref sample_tensors() {
  const Ref torch = checked(PyImport_ImportModule("torch"));
  const Ref scope = checked(PyDict_New());
  if (PyDict_SetItemString(scope.get(), "torch", torch.get()) != 0) throw ErrorSet();
  if (PyDict_SetItemString(scope.get(), "__builtins__", PyEval_GetBuiltins()) != 0) {
    throw ErrorSet();
  }
  return checked(PyRun_String(
      "[torch.empty(70001, dtype=torch.uint8, device='cpu')[4099:],"
      " torch.frombuffer(bytearray(9001), dtype=torch.uint8)[1234:],"
      " torch.empty(50021, dtype=torch.uint8, device='cpu')[40009:]]",
      Py_eval_input, scope.get(), scope.get()));
}

inline bool search_words(TensorWords* found) {
  constexpr std::size_t kTensorWords = 20, kStorageWords = 8;  // torch's objects are longer
  std::vector<std::size_t> tensors(8), storages(kTensorWords), offsets(kTensorWords),
      memories(kStorageWords - 2);
  for (auto* places : {&tensors, &storages, &offsets, &memories}) {
    for (std::size_t i = 0; i < places->size(); ++i) (*places)[i] = i;
  }
  const Ref samples = sample_tensors();
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(samples.get()); ++i) {
    PyObject* const sample = PyList_GET_ITEM(samples.get(), i);
    const Ref untyped = call_method(sample, names().untyped_storage);
    const Word tensor = number_of(sample, "_cdata", false);
    const Word storage = number_of(untyped.get(), "_cdata", false);
    const auto size = static_cast<std::size_t>(Py_TYPE(sample)->tp_basicsize) / sizeof(Word);
    keep_places(&tensors, reinterpret_cast<Word>(sample), size, tensor);
    keep_places(&storages, tensor, kTensorWords, storage);
    keep_places(&offsets, tensor, kTensorWords, number_of(sample, "storage_offset", true));
    keep_places(&memories, storage, kStorageWords, number_of(untyped.get(), "data_ptr", true));
  }
  if (tensors.size() != 1 || storages.size() != 1 || offsets.size() != 1 || memories.size() != 1) {
    return false;
  }
  *found = {tensors[0], storages[0], offsets[0], memories[0]};
  return true;
}

// Null where they were not found. Looked for once: no lock, as the search may let go of the GIL, and
// whoever comes meanwhile finds the same.
inline const TensorWords* tensor_words() {
  static TensorWords words;
  static bool searched = false, found = false;
  if (!searched) {
    TensorWords place;
    try {
      if (search_words(&place)) {
        words = place;
        found = true;
      }
    } catch (const ErrorSet&) {
      PyErr_Clear();  // a torch that is put together in another way
    }
    searched = true;
  }
  return found && table_wanted ? &words : nullptr;
}

}  // namespace detail

// What leads to a tensor's memory, as it was when this was taken.
class TensorMark {
 public:
  // Where torch has to be asked (tensor_words() is null) this is never called.
  void take(const detail::TensorWords& words, PyObject* tensor) {
    type_ = nullptr;
    PyTypeObject* const known = detail::tensor_type();
    if (known == nullptr || !PyType_IsSubtype(Py_TYPE(tensor), known)) return;
    const detail::Word held = words_of(words, tensor);
    if (held == 0) return;
    const detail::Word storage = detail::word_at(held, words.storage);
    offset_ = detail::word_at(held, words.offset);
    for (std::size_t i = 0; i < 3; ++i) memory_[i] = detail::word_at(storage, words.memory + i);
    type_ = Py_TYPE(tensor);
  }

  // Whether all of it is so now. False says nothing: ask torch.
  bool holds(const detail::TensorWords& words, PyObject* tensor) const {
    if (Py_TYPE(tensor) != type_) return false;
    const detail::Word held = words_of(words, tensor);
    if (held == 0) return false;
    const detail::Word storage = detail::word_at(held, words.storage);
    detail::Word changed = detail::word_at(held, words.offset) ^ offset_;
    for (std::size_t i = 0; i < 3; ++i) {
      changed |= detail::word_at(storage, words.memory + i) ^ memory_[i];
    }
    return changed == 0;
  }

 private:
  // The tensor behind its Python object; 0 for one without a storage.
  static detail::Word words_of(const detail::TensorWords& words, PyObject* object) {
    const auto tensor = detail::word_at(reinterpret_cast<detail::Word>(object), words.tensor);
    return detail::word_at(tensor, words.storage) == 0 ? 0 : tensor;
  }

  PyTypeObject* type_ = nullptr;
  detail::Word offset_ = 0, memory_[3] = {};
};

}  // namespace accel
