#include "operators.hpp"

#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "generator.hpp"
#include "kernels.hpp"
#include "torch_mlu/devices.hpp"

namespace torch_mlu {
namespace {

using c10::IValue;
using torch::jit::Stack;

// A place in the arguments: an argument, or an element of one that is a list.
struct Place {
  std::size_t argument;
  std::int64_t element;  // -1: the argument itself
};

// A call as it is given to the stream.
struct Call {
  c10::OperatorHandle op;
  Stack arguments;  // without tensors of the device
  std::vector<std::pair<Place, View>> inputs;
  std::vector<std::pair<Place, View>> results;  // to be copied into; others are written in place
};

bool ours(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == kDevice;
}

// Calls visit(place, tensor) for each tensor of a stack, defined or not.
template <class Visit>
void each_tensor(const Stack& stack, const Visit& visit) {
  for (std::size_t i = 0; i < stack.size(); ++i) {
    const IValue& value = stack[i];
    if (value.isTensor()) {
      visit(Place{i, -1}, value.toTensor());
    } else if (value.isTensorList()) {
      const auto list = value.toTensorList();
      for (std::size_t k = 0; k < list.size(); ++k) {
        visit(Place{i, static_cast<std::int64_t>(k)}, at::Tensor(list[k]));
      }
    } else if (value.isOptionalTensorList()) {
      const auto list = value.toOptionalTensorList();
      for (std::size_t k = 0; k < list.size(); ++k) {
        const std::optional<at::Tensor> each = list[k];
        visit(Place{i, static_cast<std::int64_t>(k)}, each.value_or(at::Tensor()));
      }
    }
  }
}

// The stack with each tensor replaced: swap(place, tensor) gives what stands in its stead.
template <class Swap>
Stack with_tensors(const Stack& stack, const Swap& swap) {
  Stack made = stack;
  for (std::size_t i = 0; i < stack.size(); ++i) {
    const IValue& value = stack[i];
    if (value.isTensor()) {
      made[i] = swap(Place{i, -1}, value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      const auto given = value.toTensorList();
      for (std::size_t k = 0; k < given.size(); ++k) {
        list.push_back(swap(Place{i, static_cast<std::int64_t>(k)}, at::Tensor(given[k])));
      }
      made[i] = std::move(list);
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      const auto given = value.toOptionalTensorList();
      for (std::size_t k = 0; k < given.size(); ++k) {
        const std::optional<at::Tensor> each = given[k];
        list.push_back(each ? std::optional(swap(Place{i, static_cast<std::int64_t>(k)}, *each))
                            : std::nullopt);
      }
      made[i] = std::move(list);
    }
  }
  return made;
}

at::Tensor tensor_at(const Stack& stack, const Place& place) {
  const IValue& value = stack[place.argument];
  if (place.element < 0) return value.toTensor();
  const auto index = static_cast<std::size_t>(place.element);
  if (value.isTensorList()) return value.toTensorList()[index];
  return std::optional<at::Tensor>(value.toOptionalTensorList()[index]).value_or(at::Tensor());
}

// A tensor without memory of the same shape; numbers of the host stay what they are.
at::Tensor meta_of(const at::Tensor& tensor) {
  if (!tensor.defined() || (!ours(tensor) && tensor.dim() == 0)) return tensor;
  return at::empty_strided(tensor.sizes(), tensor.strides(),
                           tensor.options().device(c10::kMeta).pinned_memory(false));
}

c10::DeviceIndex device_of(const c10::OperatorHandle& op, const Stack& arguments) {
  c10::DeviceIndex device = -1;
  each_tensor(arguments, [&](const Place&, const at::Tensor& tensor) {
    if (ours(tensor)) {
      if (device < 0) device = tensor.device().index();
      TORCH_CHECK(tensor.device().index() == device, op.schema().name(),
                  ": expected all tensors to be on the same device, given ", device_at(device),
                  " and ", tensor.device());
    }
  });
  return device;
}

// Host tensors among device tensors: numbers always, indices where torch takes them.
void check_host_tensors(const c10::OperatorHandle& op, const Stack& arguments,
                        c10::DeviceIndex device) {
  const std::string& name = op.schema().name();
  const bool indexes = name.find("index") != std::string::npos;
  each_tensor(arguments, [&](const Place& place, const at::Tensor& tensor) {
    if (!tensor.defined() || ours(tensor) || tensor.dim() == 0) return;
    TORCH_CHECK(indexes && place.element >= 0, name,
                ": expected all tensors to be on the same device, given ", device_at(device),
                " and ", tensor.device(), " (argument ",
                op.schema().arguments()[place.argument].name(), ")");
  });
}

bool has_mask(const Stack& arguments) {
  bool found = false;
  each_tensor(arguments, [&](const Place& place, const at::Tensor& tensor) {
    found = found || (place.element >= 0 && tensor.defined() &&
                      (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte));
  });
  return found;
}

// The arguments as the CPU's operator takes them later, without device tensors; with generators of
// the host for those of the device.
Stack kept_arguments(const c10::OperatorHandle& op, const Stack& arguments,
                     c10::DeviceIndex device) {
  Stack kept = with_tensors(arguments, [](const Place&, const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    if (ours(tensor)) return at::Tensor();
    at::Tensor copy = tensor.clone();  // the caller may change it before the stream gets there
    const bool wrapped = tensor.unsafeGetTensorImpl()->is_wrapped_number();
    if (wrapped) copy.unsafeGetTensorImpl()->set_wrapped_number(true);
    return copy;
  });
  const auto& names = op.schema().arguments();
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (names[i].name() == "generator" || kept[i].isGenerator()) {
      const auto given = kept[i].toOptional<at::Generator>();
      kept[i] = drawn_from(given, device);
    } else if (kept[i].isDevice()) {
      kept[i] = c10::Device(c10::kCPU);
    }
  }
  return kept;
}

Stack results_on_meta(const c10::OperatorHandle& op, const Stack& arguments) {
  Stack stack = with_tensors(
      arguments, [](const Place&, const at::Tensor& tensor) { return meta_of(tensor); });
  for (IValue& value : stack) {
    if (value.isGenerator()) value = IValue();
    if (value.isDevice()) value = c10::Device(c10::kMeta);
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  op.callBoxed(&stack);
  return stack;
}

// The argument that a result is, by the schema's alias marks; -1: a new tensor.
std::int64_t written_argument(const c10::FunctionSchema& schema, std::size_t result) {
  const auto* alias = schema.returns()[result].alias_info();
  if (alias == nullptr || !alias->isWrite()) return -1;
  for (std::size_t i = 0; i < schema.arguments().size(); ++i) {
    const auto* other = schema.arguments()[i].alias_info();
    if (other != nullptr && other->isWrite() && other->beforeSets() == alias->beforeSets()) {
      return static_cast<std::int64_t>(i);
    }
  }
  return -1;
}

// Outputs given by the caller take the shape that the results will have.
void resize_outputs(const c10::FunctionSchema& schema, const Stack& arguments,
                    const Stack& results) {
  for (std::size_t r = 0; r < results.size(); ++r) {
    const std::int64_t argument = written_argument(schema, r);
    if (argument < 0 || !results[r].isTensor() || !arguments[argument].isTensor()) continue;
    if (!schema.arguments()[argument].is_out()) continue;
    const at::Tensor& out = arguments[argument].toTensor();
    const at::Tensor& wanted = results[r].toTensor();
    if (out.sizes() != wanted.sizes()) at::native::resize_output(out, wanted.sizes());
  }
}

// Whether the caller gave every result, with memory: an output without elements takes the results'
// shape, one with elements must have it, which the CPU's operator checks when it runs.
bool results_given(const c10::FunctionSchema& schema, const Stack& arguments) {
  for (std::size_t r = 0; r < schema.returns().size(); ++r) {
    const std::int64_t place = written_argument(schema, r);
    if (place < 0 || !schema.arguments()[static_cast<std::size_t>(place)].is_out()) return false;
    const IValue& output = arguments[static_cast<std::size_t>(place)];
    if (!output.isTensor() || output.toTensor().numel() == 0) return false;
  }
  return true;
}

at::Tensor allocated(const at::Tensor& meta, c10::DeviceIndex device) {
  if (!meta.defined()) return meta;
  const auto options = at::TensorOptions(meta.scalar_type()).device(device_at(device));
  if (meta.is_non_overlapping_and_dense()) {
    return at::empty_strided(meta.sizes(), meta.strides(), options);
  }
  return at::empty(meta.sizes(), options);
}

void run(const Call& call) {
  std::size_t next = 0;
  Stack stack = with_tensors(call.arguments, [&](const Place& place, const at::Tensor& tensor) {
    if (next == call.inputs.size()) return tensor;
    const auto& [where, view] = call.inputs[next];
    if (where.argument != place.argument || where.element != place.element) return tensor;
    ++next;
    return view.open();
  });
  call.op.callBoxed(&stack);
  for (const auto& [place, view] : call.results) {
    const at::Tensor value = tensor_at(stack, place);
    TORCH_CHECK(value.sizes() == at::IntArrayRef(view.sizes), "the result has shape ",
                value.sizes(), ", and shape ", view.sizes, " was expected");
    view.open().copy_(value);
  }
}

}  // namespace

void run_operator(const c10::OperatorHandle& op, Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const std::size_t count = schema.arguments().size();
  const Stack arguments(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
  const c10::DeviceIndex device = device_of(op, arguments);
  if (device < 0 || (schema.name() == "aten::index" && has_mask(arguments))) {
    return run_on_host(op, stack);
  }
  check_host_tensors(op, arguments, device);
  const OnDevice here(device);

  Stack results(schema.returns().size());
  if (!results_given(schema, arguments)) {
    results = results_on_meta(op, arguments);
    resize_outputs(schema, arguments, results);
  }

  Call call{op, kept_arguments(op, arguments, device), {}, {}};
  std::uint64_t bytes = 0;
  each_tensor(arguments, [&](const Place& place, const at::Tensor& tensor) {
    if (!ours(tensor)) return;
    call.inputs.emplace_back(place, View(tensor));
    bytes += call.inputs.back().second.bytes();
  });
  for (std::size_t r = 0; r < results.size(); ++r) {
    const std::int64_t argument = written_argument(schema, r);
    if (argument >= 0) {
      results[r] = arguments[static_cast<std::size_t>(argument)];
      continue;
    }
    Stack one(results.begin() + static_cast<std::ptrdiff_t>(r),
              results.begin() + static_cast<std::ptrdiff_t>(r) + 1);
    one = with_tensors(one, [&](const Place& place, const at::Tensor& meta) {
      at::Tensor made = allocated(meta, device);
      if (made.defined()) {
        call.results.emplace_back(Place{r, place.element}, View(made));
        bytes += call.results.back().second.bytes();
      }
      return made;
    });
    results[r] = one.front();
  }
  submit(schema.name(), device, [call = std::move(call)] { run(call); }, bytes);
  torch::jit::drop(*stack, count);
  stack->insert(stack->end(), results.begin(), results.end());
}

void run_on_host(const c10::OperatorHandle& op, Stack* stack) {
  at::native::cpu_fallback(op, stack);
}

}  // namespace torch_mlu
