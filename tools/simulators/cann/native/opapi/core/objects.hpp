// The objects that a caller of aclnn operators builds: tensors, scalars, arrays and lists. Callers
// see them as opaque pointers and destroy them as soon as an operator is launched, so whatever an
// operator needs later is copied out of them (core/arguments.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include <c10/core/Scalar.h>
#include <c10/core/ScalarType.h>

#define ACL_EXPORT extern "C" __attribute__((visibility("default")))

// A strided view. `base` is the start of the storage, `offset` counts elements from there.
struct aclTensor {
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::int64_t offset;
  std::int32_t type;  // aclDataType
  std::int32_t format;
  std::vector<std::int64_t> storage;
  void* base;
};

struct aclScalar {
  c10::Scalar value;
  std::int32_t type;
};

struct aclIntArray {
  std::vector<std::int64_t> values;
};

struct aclFloatArray {
  std::vector<float> values;
};

struct aclBoolArray {
  std::vector<bool> values;
};

// The lists own their members.
struct aclTensorList {
  std::vector<const aclTensor*> members;
};

struct aclScalarList {
  std::vector<const aclScalar*> members;
};

namespace accel_opapi {

// The torch type of an aclDataType; throws when torch has none.
c10::ScalarType scalar_type(std::int32_t type);

}  // namespace accel_opapi
