#include "tensor_view.hpp"

namespace accel_cpu::kv {
namespace {

using accel::fail;
using accel::Ref;

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
constexpr std::int32_t kDlCpu = 1;
constexpr std::uint8_t kDlInt = 0, kDlFloat = 2;
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

const DlExchangeTable* find_table() {
  PyTypeObject* tensor = accel::detail::tensor_type();
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

bool table_wanted = true;

const DlExchangeTable* exchange_table() {
  static const DlExchangeTable* table = find_table();
  return table_wanted ? table : nullptr;
}

bool view_tensor(PyObject* tensor, DlTensor* view) {
  const DlExchangeTable* table = exchange_table();
  if (table == nullptr) return false;
  if (table->view_from_object(tensor, view) == 0) return true;
  PyErr_Clear();  // no storage, or a dtype that DLPack does not have: the attributes will tell
  return false;
}

std::int64_t to_int(PyObject* object) {
  const long long value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred() != nullptr) throw accel::ErrorSet();
  return value;
}

void append_ints(const Ref& sequence, std::vector<std::int64_t>* out) {
  Ref fast = accel::checked(PySequence_Fast(sequence.get(), "a sequence of integers"));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
    out->push_back(to_int(PySequence_Fast_GET_ITEM(fast.get(), i)));
  }
}

// torch.<name>, kept for good: dtypes are single objects.
PyObject* torch_attribute(const char* name) {
  Ref torch = accel::checked(PyImport_ImportModule("torch"));
  return accel::checked(PyObject_GetAttrString(torch.get(), name)).release();
}

}  // namespace

bool is_tensor(PyObject* object) {
  PyTypeObject* tensor = accel::detail::tensor_type();
  if (tensor == nullptr) return false;
  return Py_TYPE(object) == tensor || PyType_IsSubtype(Py_TYPE(object), tensor);
}

std::int64_t TensorView::numel() const {
  std::int64_t n = 1;
  for (int i = 0; i < ndim; ++i) n *= shape[i];
  return n;
}

bool tensor_address(PyObject* tensor, std::uintptr_t* address) {
  DlTensor view;
  if (view_tensor(tensor, &view)) {
    *address = reinterpret_cast<std::uintptr_t>(view.data) + view.byte_offset;
    return true;
  }
  Ref value{PyObject_CallMethodNoArgs(tensor, accel::detail::names().data_ptr)};
  if (value) *address = static_cast<std::uintptr_t>(PyLong_AsUnsignedLongLong(value.get()));
  const bool known = PyErr_Occurred() == nullptr;
  PyErr_Clear();
  return known;
}

bool use_exchange_table(bool wanted) {
  const bool before = exchange_table() != nullptr;
  table_wanted = wanted;
  return before;
}

void read_tensor(PyObject* object, const char* argument, TensorView* out) {
  if (!is_tensor(object)) fail("DTypeError", argument, "a tensor", Py_TYPE(object)->tp_name);
  DlTensor view;
  if (view_tensor(object, &view)) {
    out->data = reinterpret_cast<std::uintptr_t>(view.data) + view.byte_offset;
    out->ndim = view.ndim;
    out->shape = view.shape;
    out->strides = view.strides;
    out->dtype = std::uint64_t{view.lanes} << 16 | std::uint64_t{view.code} << 8 | view.bits;
    out->is_int32 = view.code == kDlInt && view.bits == 32 && view.lanes == 1;
    out->is_int64 = view.code == kDlInt && view.bits == 64 && view.lanes == 1;
    out->is_float32 = view.code == kDlFloat && view.bits == 32 && view.lanes == 1;
    out->is_cpu = view.device_type == kDlCpu;
  } else {
    static PyObject* const int32 = torch_attribute("int32");
    static PyObject* const int64 = torch_attribute("int64");
    static PyObject* const float32 = torch_attribute("float32");
    const auto& names = accel::detail::names();
    Ref address{PyObject_CallMethodNoArgs(object, names.data_ptr)};
    if (!address) {
      fail("DTypeError", argument, "a dense tensor with a storage",
           "a tensor of layout " +
               accel::describe(accel::detail::attribute_or_none(object, names.layout).get()));
    }
    out->data = static_cast<std::uintptr_t>(PyLong_AsUnsignedLongLong(address.get()));
    if (PyErr_Occurred() != nullptr) throw accel::ErrorSet();
    out->extents_.clear();
    append_ints(accel::detail::attribute(object, names.shape), &out->extents_);
    out->ndim = static_cast<int>(out->extents_.size());
    append_ints(accel::detail::call_method(object, names.stride), &out->extents_);
    out->shape = out->extents_.data();
    out->strides = out->shape + out->ndim;
    Ref dtype = accel::detail::attribute(object, names.dtype);
    out->dtype = reinterpret_cast<std::uintptr_t>(dtype.get());
    out->is_int32 = dtype.get() == int32;
    out->is_int64 = dtype.get() == int64;
    out->is_float32 = dtype.get() == float32;
    out->is_cpu = accel::detail::is_true(accel::detail::attribute(object, names.is_cpu));
  }
  // An emptied storage leaves the address at null plus the offset, which no mapping comes near.
  constexpr std::uintptr_t kLowestUsual = std::uintptr_t{1} << 40;
  if (out->data < kLowestUsual && out->is_cpu && out->numel() != 0) {
    const auto& names = accel::detail::names();
    Ref storage = accel::detail::call_method(object, names.untyped_storage);
    if (to_int(accel::detail::call_method(storage.get(), names.nbytes).get()) == 0) {
      fail("FreedError", argument, "a tensor that still has its memory",
           "a tensor whose storage was resized to 0");
    }
    if (out->data == 0) {  // fake tensors of torch's compiler
      fail("DTypeError", argument, "a tensor with memory",
           accel::describe(reinterpret_cast<PyObject*>(Py_TYPE(object))));
    }
  }
}

}  // namespace accel_cpu::kv
