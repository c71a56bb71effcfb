// aclCreate*, aclDestroy* and the readers: the C functions around core/objects.hpp.
#include <algorithm>
#include <cstring>

#include <c10/util/BFloat16.h>
#include <c10/util/Exception.h>
#include <c10/util/Half.h>

#include "core/objects.hpp"

namespace accel_opapi {

c10::ScalarType scalar_type(std::int32_t type) {
  switch (type) {
    case 0: return c10::ScalarType::Float;
    case 1: return c10::ScalarType::Half;
    case 2: return c10::ScalarType::Char;
    case 3: return c10::ScalarType::Int;
    case 4: return c10::ScalarType::Byte;
    case 6: return c10::ScalarType::Short;
    case 7: return c10::ScalarType::UInt16;
    case 8: return c10::ScalarType::UInt32;
    case 9: return c10::ScalarType::Long;
    case 10: return c10::ScalarType::UInt64;
    case 11: return c10::ScalarType::Double;
    case 12: return c10::ScalarType::Bool;
    case 16: return c10::ScalarType::ComplexFloat;
    case 17: return c10::ScalarType::ComplexDouble;
    case 27: return c10::ScalarType::BFloat16;
    case 33: return c10::ScalarType::ComplexHalf;
    case 35: return c10::ScalarType::Float8_e5m2;
    case 36: return c10::ScalarType::Float8_e4m3fn;
    default: TORCH_CHECK(false, "aclDataType ", type, " is not simulated");
  }
}

namespace {

template <class T>
T read(const void* value) {
  T result;
  std::memcpy(&result, value, sizeof(T));
  return result;
}

c10::Scalar scalar_value(const void* value, std::int32_t type) {
  switch (scalar_type(type)) {
    case c10::ScalarType::Float: return read<float>(value);
    case c10::ScalarType::Half: return static_cast<float>(read<c10::Half>(value));
    case c10::ScalarType::BFloat16: return static_cast<float>(read<c10::BFloat16>(value));
    case c10::ScalarType::Double: return read<double>(value);
    case c10::ScalarType::Char: return static_cast<std::int64_t>(read<std::int8_t>(value));
    case c10::ScalarType::Byte: return static_cast<std::int64_t>(read<std::uint8_t>(value));
    case c10::ScalarType::Short: return static_cast<std::int64_t>(read<std::int16_t>(value));
    case c10::ScalarType::UInt16: return static_cast<std::int64_t>(read<std::uint16_t>(value));
    case c10::ScalarType::Int: return static_cast<std::int64_t>(read<std::int32_t>(value));
    case c10::ScalarType::UInt32: return static_cast<std::int64_t>(read<std::uint32_t>(value));
    case c10::ScalarType::Long: return read<std::int64_t>(value);
    case c10::ScalarType::UInt64: return static_cast<std::int64_t>(read<std::uint64_t>(value));
    case c10::ScalarType::Bool: return read<bool>(value);
    case c10::ScalarType::ComplexFloat: return read<c10::complex<float>>(value);
    case c10::ScalarType::ComplexDouble: return read<c10::complex<double>>(value);
    default: TORCH_CHECK(false, "a scalar of aclDataType ", type, " is not simulated");
  }
}

std::int64_t* copy_of(const std::vector<std::int64_t>& values) {
  auto* result = new std::int64_t[values.empty() ? 1 : values.size()];
  std::copy(values.begin(), values.end(), result);
  return result;
}

}  // namespace
}  // namespace accel_opapi

ACL_EXPORT aclTensor* aclCreateTensor(const std::int64_t* sizes, std::uint64_t dims,
                                      std::int32_t type, const std::int64_t* strides,
                                      std::int64_t offset, std::int32_t format,
                                      const std::int64_t* storage, std::uint64_t storage_dims,
                                      void* base) {
  auto* tensor = new aclTensor{{sizes, sizes + dims}, {}, offset, type, format, {}, base};
  if (strides != nullptr) {
    tensor->strides.assign(strides, strides + dims);
  } else {  // contiguous
    tensor->strides.assign(dims, 1);
    for (std::uint64_t d = dims; d-- > 1;) {
      tensor->strides[d - 1] = tensor->strides[d] * sizes[d];
    }
  }
  if (storage != nullptr) tensor->storage.assign(storage, storage + storage_dims);
  return tensor;
}

ACL_EXPORT aclScalar* aclCreateScalar(void* value, std::int32_t type) {
  try {
    return new aclScalar{accel_opapi::scalar_value(value, type), type};
  } catch (const std::exception&) {
    return nullptr;
  }
}

ACL_EXPORT aclIntArray* aclCreateIntArray(const std::int64_t* values, std::uint64_t size) {
  return new aclIntArray{{values, values + size}};
}

ACL_EXPORT aclFloatArray* aclCreateFloatArray(const float* values, std::uint64_t size) {
  return new aclFloatArray{{values, values + size}};
}

ACL_EXPORT aclBoolArray* aclCreateBoolArray(const bool* values, std::uint64_t size) {
  return new aclBoolArray{std::vector<bool>(values, values + size)};
}

ACL_EXPORT aclTensorList* aclCreateTensorList(const aclTensor* const* members, std::uint64_t size) {
  return new aclTensorList{{members, members + size}};
}

ACL_EXPORT aclScalarList* aclCreateScalarList(const aclScalar* const* members, std::uint64_t size) {
  return new aclScalarList{{members, members + size}};
}

ACL_EXPORT int aclDestroyTensor(const aclTensor* tensor) { return delete tensor, 0; }
ACL_EXPORT int aclDestroyScalar(const aclScalar* scalar) { return delete scalar, 0; }
ACL_EXPORT int aclDestroyIntArray(const aclIntArray* array) { return delete array, 0; }
ACL_EXPORT int aclDestroyFloatArray(const aclFloatArray* array) { return delete array, 0; }
ACL_EXPORT int aclDestroyBoolArray(const aclBoolArray* array) { return delete array, 0; }

ACL_EXPORT int aclDestroyTensorList(const aclTensorList* list) {
  if (list != nullptr) {
    for (const aclTensor* member : list->members) delete member;
  }
  return delete list, 0;
}

ACL_EXPORT int aclDestroyScalarList(const aclScalarList* list) {
  if (list != nullptr) {
    for (const aclScalar* member : list->members) delete member;
  }
  return delete list, 0;
}

// The readers give arrays that the caller deletes.
ACL_EXPORT int aclGetViewShape(const aclTensor* tensor, std::int64_t** sizes, std::uint64_t* dims) {
  *sizes = accel_opapi::copy_of(tensor->sizes);
  *dims = tensor->sizes.size();
  return 0;
}

ACL_EXPORT int aclGetStorageShape(const aclTensor* tensor, std::int64_t** sizes,
                                  std::uint64_t* dims) {
  *sizes = accel_opapi::copy_of(tensor->storage);
  *dims = tensor->storage.size();
  return 0;
}

ACL_EXPORT int aclGetViewStrides(const aclTensor* tensor, std::int64_t** strides,
                                 std::uint64_t* dims) {
  *strides = accel_opapi::copy_of(tensor->strides);
  *dims = tensor->strides.size();
  return 0;
}

ACL_EXPORT int aclGetViewOffset(const aclTensor* tensor, std::int64_t* offset) {
  return *offset = tensor->offset, 0;
}

ACL_EXPORT int aclGetDataType(const aclTensor* tensor, std::int32_t* type) {
  return *type = tensor->type, 0;
}

ACL_EXPORT int aclGetFormat(const aclTensor* tensor, std::int32_t* format) {
  return *format = tensor->format, 0;
}

ACL_EXPORT int aclGetIntArraySize(const aclIntArray* array, std::uint64_t* size) {
  return *size = array->values.size(), 0;
}

ACL_EXPORT int aclGetTensorListSize(const aclTensorList* list, std::uint64_t* size) {
  return *size = list->members.size(), 0;
}

ACL_EXPORT int aclGetScalarListSize(const aclScalarList* list, std::uint64_t* size) {
  return *size = list->members.size(), 0;
}
