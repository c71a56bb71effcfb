#include "core/arguments.hpp"

#include <accel_sim/torch.hpp>

namespace accel_opapi {

View::View(const aclTensor* tensor) : present(tensor != nullptr) {
  if (!present) return;
  sizes = tensor->sizes;
  strides = tensor->strides;
  offset = tensor->offset;
  type = tensor->type;
  base = tensor->base;
}

at::Tensor View::open() const {
  if (!present) return {};
  const auto dtype = scalar_type(type);
  const void* data = static_cast<char*>(base) + offset * c10::elementSize(dtype);
  return accel_sim::host_tensor(data, sizes, strides, dtype);
}

std::uint64_t View::bytes() const {
  return present ? c10::multiply_integers(sizes) * c10::elementSize(scalar_type(type)) : 0;
}

const Out& Out::operator=(const at::Tensor& value) const {
  if (!wanted()) return *this;
  const bool one = value.numel() == 1 && tensor_.numel() == 1;
  TORCH_CHECK(one || value.sizes() == tensor_.sizes(), "the result has shape ", value.sizes(),
              ", the output that was given has shape ", tensor_.sizes());
  tensor_.copy_(one ? value.reshape(tensor_.sizes()) : value);
  return *this;
}

void write_each(const Tensors& out, const Tensors& values) {
  TORCH_CHECK(out.size() == values.size(), values.size(), " results for ", out.size(), " outputs");
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Out each{out[i]};
    each = values[i];
  }
}

void Grown::operator=(const at::Tensor& value) const {
  if (!tensor.defined()) return;
  TORCH_CHECK(value.numel() <= tensor.numel(), "the result has ", value.numel(),
              " elements, the output that was given has room for ", tensor.numel());
  const auto count = value.numel();
  at::from_blob(tensor.data_ptr(), {count}, tensor.options()).copy_(value.reshape({count}));
  descriptor->sizes = value.sizes().vec();
  descriptor->strides = value.contiguous().strides().vec();
}

Argument<Tensors>::Kept Argument<Tensors>::keep(Abi list) {
  Kept views;
  if (list != nullptr) {
    views.reserve(list->members.size());
    for (const aclTensor* member : list->members) views.emplace_back(member);
  }
  return views;
}

Tensors Argument<Tensors>::open(const Kept& views) {
  Tensors tensors;
  tensors.reserve(views.size());
  for (const View& view : views) tensors.push_back(view.open());
  return tensors;
}

std::uint64_t Argument<Tensors>::bytes(const Kept& views) {
  std::uint64_t total = 0;
  for (const View& view : views) total += view.bytes();
  return total;
}

at::Scalar Argument<at::Scalar>::keep(Abi scalar) {
  TORCH_CHECK(scalar != nullptr, "a scalar is missing");
  return scalar->value;
}

Scalars Argument<Scalars>::keep(Abi list) {
  Scalars values;
  if (list != nullptr) {
    for (const aclScalar* member : list->members) values.push_back(member->value);
  }
  return values;
}

}  // namespace accel_opapi
