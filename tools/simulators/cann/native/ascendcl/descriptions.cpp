// Descriptions of tensors, buffers and attributes for the older operator interface.
#include "api.hpp"
#include "old_operators.hpp"

using namespace ascendcl;

ACL_EXPORT aclDataBuffer* aclCreateDataBuffer(void* data, std::size_t bytes) {
  return new aclDataBuffer{data, bytes};
}

ACL_EXPORT int aclDestroyDataBuffer(const aclDataBuffer* buffer) {
  delete buffer;
  return 0;
}

ACL_EXPORT int aclUpdateDataBuffer(aclDataBuffer* buffer, void* data, std::size_t bytes) {
  return guarded("aclUpdateDataBuffer", [&] { required(buffer, "dataBuffer") = {data, bytes}; });
}

ACL_EXPORT void* aclGetDataBufferAddr(const aclDataBuffer* buffer) {
  return buffer ? buffer->data : nullptr;
}

ACL_EXPORT std::size_t aclGetDataBufferSizeV2(const aclDataBuffer* buffer) {
  return buffer ? buffer->bytes : 0;
}

ACL_EXPORT aclTensorDesc* aclCreateTensorDesc(int type, int rank, const std::int64_t* shape,
                                              int format) {
  if (rank < 0 || (rank > 0 && !shape)) return nullptr;
  auto* description = new aclTensorDesc;
  description->data_type = type;
  description->format = format;
  description->shape.assign(shape, shape + rank);
  return description;
}

ACL_EXPORT void aclDestroyTensorDesc(const aclTensorDesc* description) { delete description; }

ACL_EXPORT int aclGetTensorDescType(const aclTensorDesc* description) {
  return description ? description->data_type : -1;
}

ACL_EXPORT int aclGetTensorDescFormat(const aclTensorDesc* description) {
  return description ? description->format : -1;
}

ACL_EXPORT std::size_t aclGetTensorDescNumDims(const aclTensorDesc* description) {
  return description ? description->shape.size() : 0;
}

ACL_EXPORT int aclGetTensorDescDimV2(const aclTensorDesc* description, std::size_t index,
                                     std::int64_t* size) {
  return guarded("aclGetTensorDescDimV2", [&] {
    const aclTensorDesc& known = required(description, "desc");
    if (index >= known.shape.size()) throw Failure(kInvalidParameter, "no such dimension");
    required(size, "dimSize") = known.shape[index];
  });
}

ACL_EXPORT void aclSetTensorDescName(aclTensorDesc* description, const char* name) {
  if (description) description->name = name ? name : "";
}

ACL_EXPORT int aclSetTensorFormat(aclTensorDesc* description, int format) {
  return guarded("aclSetTensorFormat",
                 [&] { required(description, "desc").storage_format = format; });
}

ACL_EXPORT int aclSetTensorShape(aclTensorDesc* description, int rank, const std::int64_t* shape) {
  return guarded("aclSetTensorShape", [&] {
    if (rank < 0 || (rank > 0 && !shape)) throw Failure(kInvalidParameter, "no such shape");
    required(description, "desc").storage_shape.assign(shape, shape + rank);
  });
}

ACL_EXPORT int aclSetTensorPlaceMent(aclTensorDesc* description, int placement) {
  return guarded("aclSetTensorPlaceMent",
                 [&] { required(description, "desc").placement = placement; });
}

ACL_EXPORT int aclSetTensorConst(aclTensorDesc* description, void* data, std::size_t bytes) {
  return guarded("aclSetTensorConst", [&] {
    const auto* from = static_cast<const std::uint8_t*>(data);
    if (!from) throw Failure(kInvalidParameter, "dataBuffer is a null pointer");
    required(description, "desc").constant.assign(from, from + bytes);
  });
}

ACL_EXPORT aclopAttr* aclopCreateAttr() { return new aclopAttr; }
ACL_EXPORT void aclopDestroyAttr(const aclopAttr* attributes) { delete attributes; }

ACL_EXPORT int aclopSetAttrBool(aclopAttr* attributes, const char* name, std::uint8_t value) {
  return guarded("aclopSetAttrBool", [&] {
    required(attributes, "attr").integers[&required(name, "attrName")] = value != 0;
  });
}

ACL_EXPORT int aclopSetAttrInt(aclopAttr* attributes, const char* name, std::int64_t value) {
  return guarded("aclopSetAttrInt", [&] {
    required(attributes, "attr").integers[&required(name, "attrName")] = value;
  });
}

ACL_EXPORT int aclopSetAttrDataType(aclopAttr* attributes, const char* name, int value) {
  return guarded("aclopSetAttrDataType", [&] {
    required(attributes, "attr").integers[&required(name, "attrName")] = value;
  });
}

ACL_EXPORT int aclopSetAttrFloat(aclopAttr* attributes, const char* name, float value) {
  return guarded("aclopSetAttrFloat", [&] {
    required(attributes, "attr").floats[&required(name, "attrName")] = value;
  });
}

ACL_EXPORT int aclopSetAttrString(aclopAttr* attributes, const char* name, const char* value) {
  return guarded("aclopSetAttrString", [&] {
    required(attributes, "attr").strings[&required(name, "attrName")] =
        &required(value, "attrValue");
  });
}

ACL_EXPORT int aclopSetAttrListBool(aclopAttr* attributes, const char* name, int count,
                                    const std::uint8_t* values) {
  return guarded("aclopSetAttrListBool", [&] {
    required(attributes, "attr").integer_lists[&required(name, "attrName")].assign(values,
                                                                                  values + count);
  });
}

ACL_EXPORT int aclopSetAttrListInt(aclopAttr* attributes, const char* name, int count,
                                   const std::int64_t* values) {
  return guarded("aclopSetAttrListInt", [&] {
    required(attributes, "attr").integer_lists[&required(name, "attrName")].assign(values,
                                                                                  values + count);
  });
}

ACL_EXPORT int aclopSetAttrListFloat(aclopAttr* attributes, const char* name, int count,
                                     const float* values) {
  return guarded("aclopSetAttrListFloat", [&] {
    required(attributes, "attr").float_lists[&required(name, "attrName")].assign(values,
                                                                                values + count);
  });
}

ACL_EXPORT int aclopSetAttrListListInt(aclopAttr* attributes, const char* name, int count,
                                       const int* lengths, const std::int64_t* const values[]) {
  return guarded("aclopSetAttrListListInt", [&] {
    auto& lists = required(attributes, "attr").integer_list_lists[&required(name, "attrName")];
    lists.clear();
    for (int one = 0; one < count; ++one) {
      lists.emplace_back(values[one], values[one] + lengths[one]);
    }
  });
}
