// A description of a torch tensor in some ten nanoseconds, through the DLPack exchange table, where
// torch.Tensor has one. The GIL must be held.
#pragma once

#include <cstdint>

#include "torch_object.hpp"

namespace accel {

namespace detail {

// The parts of the DLPack 1.x ABI that are used: a borrowed description of a tensor, and the table
// through which a library hands them out. (data-apis/array-api: "C exchange API".)
struct DlTensor {
  void* data;
  std::int32_t device_type, device_id;
  std::int32_t ndim;
  std::uint8_t code, bits;
  std::uint16_t lanes;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};
constexpr std::int32_t kDlCpu = 1, kDlCuda = 2, kDlRocm = 10, kDlExtension = 12;
constexpr std::uint8_t kDlInt = 0, kDlFloat = 2, kDlComplex = 5;
constexpr std::uint32_t kDlMajor = 1;

struct DlExchangeTable {
  std::uint32_t major, minor;
  const DlExchangeTable* older;
  void* allocate;
  void* own_from_object;
  void* object_from_owned;
  // 0, or -1 with a Python error. May be null.
  int (*view_from_object)(void* object, DlTensor* out);
  void* current_stream;
};

inline const DlExchangeTable* find_table() {
  PyTypeObject* tensor = tensor_type();
  if (tensor == nullptr) return nullptr;
  Ref capsule{PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor),
                                     "__dlpack_c_exchange_api__")};
  const void* table =
      capsule ? PyCapsule_GetPointer(capsule.get(), "dlpack_exchange_api") : nullptr;
  PyErr_Clear();  // an older torch
  const auto* found = static_cast<const DlExchangeTable*>(table);
  while (found != nullptr && found->major > kDlMajor) found = found->older;
  const bool usable =
      found != nullptr && found->major == kDlMajor && found->view_from_object != nullptr;
  return usable ? found : nullptr;
}

inline bool table_wanted = true;

inline const DlExchangeTable* exchange_table() {
  static const DlExchangeTable* table = find_table();
  return table_wanted ? table : nullptr;
}

inline bool view_tensor(PyObject* tensor, DlTensor* view) {
  const DlExchangeTable* const table = exchange_table();
  if (table == nullptr) return false;
  if (table->view_from_object(tensor, view) == 0) return true;
  PyErr_Clear();  // no storage, or a dtype that DLPack does not have: the attributes will tell
  return false;
}

}  // namespace detail

}  // namespace accel
