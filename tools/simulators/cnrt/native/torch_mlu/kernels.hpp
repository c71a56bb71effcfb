// Work for a stream that torch's CPU kernels do, on the host's side of device memory.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace torch_mlu {

// Where a tensor's elements lie. It keeps no memory alive, as a launch keeps none: what is freed
// too early is used too late.
struct View {
  explicit View(const at::Tensor& tensor);
  at::Tensor open() const;  // over the host's side; to be called where the work runs
  std::uint64_t bytes() const;

  const void* data = nullptr;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  at::ScalarType dtype;
  bool wrapped_number = false;
  bool conjugated = false;
  bool negated = false;
};

// Puts a body on the current stream of a device, under an operator's name: faults can be
// planned for it, as aten_mul.
void submit(const std::string& name, c10::DeviceIndex device, std::function<void()> body,
            std::uint64_t bytes);

}  // namespace torch_mlu
