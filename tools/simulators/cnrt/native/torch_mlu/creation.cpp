// Tensors without values, views of tensors, and the storages below them.
#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include "checks.hpp"
#include "storage.hpp"
#include "torch_mlu/allocator.hpp"
#include "torch_mlu/devices.hpp"
#include "torch_mlu/streams.hpp"

namespace torch_mlu {

void resize_storage(const c10::Storage& storage, std::size_t bytes) {
  c10::StorageImpl* const impl = storage.unsafeGetStorageImpl();
  TORCH_CHECK(impl->resizable(), "the tensor's storage cannot be resized");
  const OnDevice here(impl->device().index());
  c10::DataPtr made = device_allocator().allocate(bytes);
  const std::size_t kept = std::min(bytes, impl->nbytes());
  if (kept != 0) {
    MLU_CHECK(cnrtMemcpyAsync, made.get(), impl->mutable_data(), kept,
              queue_of(current_stream(-1)), cnrtMemcpyDevToDev);
  }
  impl->set_data_ptr_noswap(std::move(made));
  impl->set_nbytes(bytes);
}

namespace {

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

struct Wanted {
  c10::ScalarType dtype;
  c10::Device device;
};

Wanted wanted(std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
              std::optional<c10::Device> device, std::optional<bool> pin) {
  TORCH_CHECK(layout.value_or(c10::kStrided) == c10::kStrided, "layout: expected strided, given ",
              *layout);
  TORCH_CHECK(!pin.value_or(false), "pin_memory: only memory of the host can be pinned");
  return {c10::dtype_or_default(dtype), device_at(device ? device->index() : -1)};
}

at::Tensor empty(c10::IntArrayRef sizes, std::optional<c10::ScalarType> dtype,
                 std::optional<c10::Layout> layout, std::optional<c10::Device> device,
                 std::optional<bool> pin, std::optional<c10::MemoryFormat> format) {
  const Wanted want = wanted(dtype, layout, device, pin);
  const OnDevice here(want.device.index());
  return at::detail::empty_generic(sizes, &device_allocator(), kKeys, want.dtype, format);
}

at::Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides,
                         std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                         std::optional<c10::Device> device, std::optional<bool> pin) {
  const Wanted want = wanted(dtype, layout, device, pin);
  const OnDevice here(want.device.index());
  return at::detail::empty_strided_generic(sizes, strides, &device_allocator(), kKeys, want.dtype);
}

const at::Tensor& resize(const at::Tensor& self, c10::IntArrayRef sizes,
                         std::optional<c10::MemoryFormat> format) {
  TORCH_CHECK(!format || *format == c10::MemoryFormat::Contiguous ||
                  *format == c10::MemoryFormat::Preserve,
              "memory_format: expected contiguous, given ", *format);
  c10::TensorImpl* const impl = self.unsafeGetTensorImpl();
  const std::size_t bytes = at::detail::computeStorageNbytesContiguous(
      sizes, self.dtype().itemsize(), static_cast<std::size_t>(self.storage_offset()));
  if (c10::multiply_integers(sizes) != 0 && bytes > self.storage().nbytes()) {
    resize_storage(self.storage(), bytes);
  }
  impl->set_sizes_contiguous(sizes);
  return self;
}

at::Tensor& set_storage(at::Tensor& self, c10::Storage source, std::int64_t offset,
                        c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  at::native::checkSetStorage(self, source, offset, sizes, strides);
  self.unsafeGetTensorImpl()->set_storage_offset(offset);
  const auto given = strides.data() != nullptr ? std::optional(strides) : std::nullopt;
  const std::size_t itemsize = self.dtype().itemsize();
  const auto count = static_cast<std::size_t>(offset);
  const std::size_t bytes =
      given ? at::detail::computeStorageNbytes(sizes, strides, itemsize, count)
            : at::detail::computeStorageNbytesContiguous(sizes, itemsize, count);
  if (c10::multiply_integers(sizes) != 0 && bytes > self.storage().nbytes()) {
    resize_storage(self.storage(), bytes);
  }
  if (given) {
    self.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides);
  } else {
    self.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  }
  return self;
}

at::Tensor& set_whole_storage(at::Tensor& self, c10::Storage source) {
  const auto count =
      static_cast<std::int64_t>(source.nbytes() / static_cast<std::size_t>(self.dtype().itemsize()));
  return set_storage(self, std::move(source), 0, {count}, {});
}

at::Tensor& set_nothing(at::Tensor& self) {
  const c10::Storage none(c10::Storage::use_byte_size_t(), 0, device_allocator().allocate(0),
                          &device_allocator(), true);
  return set_storage(self, none, 0, {0}, {});
}

void record(at::Tensor& self, c10::Stream stream) {
  record_stream(self.storage().data_ptr(), stream);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("resize_", &resize);
  library.impl("set_.source_Storage", &set_whole_storage);
  library.impl("set_.source_Storage_storage_offset", &set_storage);
  library.impl("set_.source_Tensor", &at::native::set_tensor_);
  library.impl("set_", &set_nothing);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
  library.impl("unfold", &at::native::unfold);
  library.impl("view_as_real", &at::native::view_as_real);
  library.impl("view_as_complex", &at::native::view_as_complex);
  library.impl("record_stream", &record);
}

}  // namespace torch_mlu
