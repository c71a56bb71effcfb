// Copies: bytes move by CNRT, everything else (dtypes, strides, broadcasting) is a kernel on one
// device before or after that. A copy with pageable memory returns when it is done.
#include <accel_sim/memory.hpp>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "checks.hpp"
#include "events.hpp"
#include "kernels.hpp"
#include "torch_mlu/allocator.hpp"
#include "torch_mlu/devices.hpp"
#include "torch_mlu/streams.hpp"

namespace torch_mlu {
namespace {

std::size_t bytes_of(const at::Tensor& tensor) { return tensor.numel() * tensor.element_size(); }

// The same elements in the same order of memory, without holes.
bool alike(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         a.is_conj() == b.is_conj() && a.is_neg() == b.is_neg() &&
         ((a.is_contiguous() && b.is_contiguous()) ||
          (a.strides() == b.strides() && a.is_non_overlapping_and_dense()));
}

// Bytes in the order of a contiguous tensor can be moved here.
bool takes_bytes(const at::Tensor& target) {
  return target.is_contiguous() && !target.is_conj() && !target.is_neg();
}

void by_kernel(const at::Tensor& source, const at::Tensor& target) {
  const View from(source), to(target);
  submit("aten::copy_", target.get_device(), [from, to] { to.open().copy_(from.open()); },
         from.bytes() + to.bytes());
}

void within_device(const at::Tensor& source, const at::Tensor& target) {
  if (!alike(source, target)) return by_kernel(source, target);
  const c10::Stream stream = current_stream(target.get_device());
  const OnDevice here(target.get_device());
  MLU_CHECK(cnrtMemcpyAsync, target.mutable_data_ptr(), const_cast<void*>(source.const_data_ptr()),
            bytes_of(source), queue_of(stream), cnrtMemcpyDevToDev);
}

void wait_for(const c10::Stream& waiting, const c10::Stream& stream) {
  void* const event = create_event(stream.device_index(), false);
  try {
    record_event(event, stream);
    wait_event(event, waiting);
  } catch (...) {
    destroy_event(event);
    throw;
  }
  destroy_event(event);
}

// The values in their places: nothing left to conjugate or negate.
at::Tensor plain_values(const at::Tensor& tensor) {
  return tensor.resolve_conj().resolve_neg().contiguous();
}

// On the source's stream, behind and before what the target's stream has.
void between_devices(const at::Tensor& source, const at::Tensor& target) {
  const bool direct = alike(source, target);
  const at::Tensor from = direct ? source : plain_values(source.to(target.scalar_type()));
  const at::Tensor to = direct || takes_bytes(target)
                            ? target
                            : at::empty(from.sizes(), target.options());
  const c10::Stream sending = current_stream(source.get_device());
  const c10::Stream receiving = current_stream(target.get_device());
  wait_for(sending, receiving);
  {
    const OnDevice here(source.get_device());
    MLU_CHECK(cnrtMemcpyPeerAsync, to.mutable_data_ptr(), to.get_device(),
              const_cast<void*>(from.const_data_ptr()), from.get_device(), bytes_of(from),
              queue_of(sending));
  }
  wait_for(receiving, sending);
  if (!to.is_same(target)) by_kernel(to, target);
}

void to_device(const at::Tensor& source, const at::Tensor& target, bool non_blocking) {
  const bool direct = alike(source, target);
  const at::Tensor from = direct ? source : plain_values(source);
  const at::Tensor to = alike(from, target)
                            ? target
                            : at::empty(from.sizes(), target.options().dtype(from.scalar_type()));
  const c10::Stream stream = current_stream(target.get_device());
  const OnDevice here(target.get_device());
  MLU_CHECK(cnrtMemcpyAsync, to.mutable_data_ptr(), const_cast<void*>(from.const_data_ptr()),
            bytes_of(from), queue_of(stream), cnrtMemcpyHostToDev);
  const bool pinned = from.is_same(source) && from.is_pinned();
  if (pinned) record_pinned(from.const_data_ptr(), stream);
  if (!to.is_same(target)) by_kernel(to, target);
  if (!non_blocking || !pinned) synchronize_stream(stream);
}

void to_host(const at::Tensor& source, const at::Tensor& target, bool non_blocking) {
  const bool direct = alike(source, target);
  const bool plain = direct || takes_bytes(target);
  const at::Tensor from =
      direct ? source : plain_values(plain ? source.to(target.scalar_type()) : source);
  const at::Tensor to =
      plain ? target : at::empty(from.sizes(), target.options().dtype(from.scalar_type()));
  const c10::Stream stream = current_stream(source.get_device());
  const OnDevice here(source.get_device());
  MLU_CHECK(cnrtMemcpyAsync, to.mutable_data_ptr(), const_cast<void*>(from.const_data_ptr()),
            bytes_of(from), queue_of(stream), cnrtMemcpyDevToHost);
  const bool pinned = to.is_same(target) && to.is_pinned();
  if (pinned) record_pinned(to.const_data_ptr(), stream);
  if (!non_blocking || !pinned) synchronize_stream(stream);
  if (!to.is_same(target)) target.copy_(to);
}

at::Tensor copy_from(const at::Tensor& given, const at::Tensor& target, bool non_blocking) {
  if (target.numel() == 0) return target;
  const at::Tensor source = given.expand(target.sizes());
  const bool from_device = source.device().type() == kDevice;
  const bool on_device = target.device().type() == kDevice;
  TORCH_CHECK((from_device || source.is_cpu()) && (on_device || target.is_cpu()),
              "copies from ", source.device(), " to ", target.device(), " are not simulated");
  if (from_device && on_device) {
    source.device() == target.device() ? within_device(source, target)
                                       : between_devices(source, target);
  } else if (on_device) {
    to_device(source, target, non_blocking);
  } else {
    to_host(source, target, non_blocking);
  }
  return target;
}

at::Tensor copy_from_and_resize(const at::Tensor& source, const at::Tensor& target) {
  target.resize_(source.sizes());
  return copy_from(source, target, false);
}

at::Scalar local_scalar(const at::Tensor& self) {
  at::Tensor value = at::empty({}, self.options().device(c10::kCPU));
  copy_from(self.reshape({}), value, false);
  return value.item();
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_local_scalar_dense", &local_scalar);
}

// Copies read and write conjugated and negated tensors themselves.
TORCH_LIBRARY_IMPL(aten, Conjugate, library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, Negative, library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

}  // namespace torch_mlu
