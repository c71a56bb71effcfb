// How each C++ parameter type of an operator's body travels: what the C function receives (Abi),
// what is kept of it until the stream gets there (Kept, a copy that needs no descriptor any more),
// and what the body sees (open(), on the stream's thread).
#pragma once

#include <optional>
#include <string>

#include <ATen/ATen.h>

#include "core/objects.hpp"

namespace accel_opapi {

// A view of device memory, copied out of an aclTensor; none when the pointer was null.
struct View {
  bool present = false;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::int64_t offset = 0;
  std::int32_t type = 0;
  void* base = nullptr;

  explicit View(const aclTensor* tensor);
  at::Tensor open() const;  // over the host alias of the device memory
  std::uint64_t bytes() const;
};

// An operator's result: assigning to it copies into the device memory, with the result's dtype
// converted, and refuses a value of another shape. A null output accepts and drops anything.
class Out {
 public:
  explicit Out(at::Tensor tensor) : tensor_(std::move(tensor)) {}
  Out(const Out&) = default;
  const Out& operator=(const at::Tensor& value) const;
  const at::Tensor& operator*() const { return tensor_; }
  const at::Tensor* operator->() const { return &tensor_; }
  bool wanted() const { return tensor_.defined(); }

 private:
  at::Tensor tensor_;
};

// An output whose shape depends on the data: the caller allocated the most it can be and reads the
// true shape from the descriptor afterwards, so the launch of such an operator waits for it.
struct Grown {
  at::Tensor tensor;
  aclTensor* descriptor;
  void operator=(const at::Tensor& value) const;
};

struct Type {
  at::ScalarType value;
  operator at::ScalarType() const { return value; }
};

struct Ints {
  bool present = false;
  std::vector<std::int64_t> values;
  operator at::IntArrayRef() const { return values; }
  // Reductions: no axes mean all of them.
  at::OptionalIntArrayRef axes() const {
    return values.empty() ? at::OptionalIntArrayRef() : at::OptionalIntArrayRef(values);
  }
};

struct Bools {
  std::vector<bool> values;
  bool operator[](std::size_t i) const { return i < values.size() && values[i]; }
};

using Tensors = std::vector<at::Tensor>;
using Scalars = std::vector<at::Scalar>;
using MaybeScalar = std::optional<at::Scalar>;

// Assigns to each output of a list.
void write_each(const Tensors& out, const Tensors& values);

// Where the tensors of a call lie.
using Addresses = std::vector<const void*>;

// Numbers (and anything else that is passed by value) are kept as they come.
template <class T>
struct Argument {
  using Abi = T;
  using Kept = T;
  static constexpr bool waits = false;
  static T keep(T value) { return value; }
  static T open(T value) { return value; }
  static std::uint64_t bytes(T) { return 0; }
  static void addresses(T, Addresses&) {}
};

struct PlainArgument {
  static constexpr bool waits = false;
  template <class Kept>
  static std::uint64_t bytes(const Kept&) {
    return 0;
  }
  template <class Kept>
  static void addresses(const Kept&, Addresses&) {}
};

template <>
struct Argument<at::Tensor> {
  using Abi = const aclTensor*;
  using Kept = View;
  static constexpr bool waits = false;
  static View keep(Abi tensor) { return View(tensor); }
  static at::Tensor open(const View& view) { return view.open(); }
  static std::uint64_t bytes(const View& view) { return view.bytes(); }
  static void addresses(const View& view, Addresses& all) { all.push_back(view.base); }
};

template <>
struct Argument<Out> : Argument<at::Tensor> {
  static Out open(const View& view) { return Out(view.open()); }
};

template <>
struct Argument<Grown> {
  using Abi = aclTensor*;
  using Kept = std::pair<View, aclTensor*>;
  static constexpr bool waits = true;
  static Kept keep(Abi tensor) { return {View(tensor), tensor}; }
  static Grown open(const Kept& kept) { return {kept.first.open(), kept.second}; }
  static std::uint64_t bytes(const Kept& kept) { return kept.first.bytes(); }
  static void addresses(const Kept& kept, Addresses& all) { all.push_back(kept.first.base); }
};

template <>
struct Argument<Tensors> {
  using Abi = const aclTensorList*;
  using Kept = std::vector<View>;
  static constexpr bool waits = false;
  static Kept keep(Abi list);
  static Tensors open(const Kept& views);
  static std::uint64_t bytes(const Kept& views);
  static void addresses(const Kept& views, Addresses& all) {
    for (const View& view : views) all.push_back(view.base);
  }
};

template <>
struct Argument<at::Scalar> : PlainArgument {
  using Abi = const aclScalar*;
  using Kept = at::Scalar;
  static Kept keep(Abi scalar);
  static Kept open(const Kept& value) { return value; }
};

template <>
struct Argument<MaybeScalar> : PlainArgument {
  using Abi = const aclScalar*;
  using Kept = MaybeScalar;
  static Kept keep(Abi scalar) { return scalar ? Kept(scalar->value) : std::nullopt; }
  static Kept open(const Kept& value) { return value; }
};

template <>
struct Argument<Scalars> : PlainArgument {
  using Abi = const aclScalarList*;
  using Kept = Scalars;
  static Kept keep(Abi list);
  static Kept open(const Kept& values) { return values; }
};

template <>
struct Argument<Ints> : PlainArgument {
  using Abi = const aclIntArray*;
  using Kept = Ints;
  static Kept keep(Abi array) { return array ? Ints{true, array->values} : Ints{}; }
  static const Ints& open(const Kept& values) { return values; }
};

template <>
struct Argument<Bools> : PlainArgument {
  using Abi = const aclBoolArray*;
  using Kept = Bools;
  static Kept keep(Abi array) { return array ? Bools{array->values} : Bools{}; }
  static const Bools& open(const Kept& values) { return values; }
};

template <>
struct Argument<Type> : PlainArgument {
  using Abi = std::int32_t;
  using Kept = Type;
  static Kept keep(Abi type) { return {scalar_type(type)}; }
  static Kept open(Kept type) { return type; }
};

template <>
struct Argument<std::string> : PlainArgument {
  using Abi = const char*;
  using Kept = std::string;
  static Kept keep(Abi text) { return text ? text : ""; }
  static const std::string& open(const Kept& text) { return text; }
};

}  // namespace accel_opapi
