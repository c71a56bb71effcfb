// Gives torch's dispatcher what runs on a device: the listed operators, and the host for the rest.
#include <algorithm>
#include <string>
#include <unordered_set>

#include <ATen/core/ATen_fwd.h>
#include <torch/library.h>

#include "operators.hpp"

namespace torch_mlu {
namespace {

// "add" of aten::add_.Tensor.
std::string base_name(const std::string& name) {
  std::string base = name.substr(std::string("aten::").size());
  const bool dunder = base.size() > 4 && base.compare(base.size() - 2, 2, "__") == 0;
  if (!dunder && !base.empty() && base.back() == '_') base.pop_back();
  return base;
}

bool only_tensors(const c10::FunctionSchema& schema) {
  return std::all_of(schema.returns().begin(), schema.returns().end(), [](const auto& result) {
    const auto& type = result.type();
    return type->isSubtypeOf(*c10::TensorType::get()) ||
           type->isSubtypeOf(*c10::ListType::ofTensors());
  });
}

// An operator that torch composes of others also where gradients are wanted has none of its own: it
// must stay composed.
bool composed(const c10::OperatorHandle& op) {
  return op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
}

// torch finds the results' shapes itself, and asks for the form with outputs.
bool structured(const c10::OperatorHandle& op) {
  return op.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutogradNonFunctional);
}

bool shaped_by_values(const c10::OperatorHandle& op) {
  return op.hasTag(at::Tag::dynamic_output_shape) || op.hasTag(at::Tag::data_dependent_output);
}

bool listed(const c10::OperatorName& name, const std::unordered_set<std::string>& names) {
  return name.name.rfind("aten::", 0) == 0 && names.count(base_name(name.name)) != 0;
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  const std::unordered_set<std::string> names(operator_names().begin(), operator_names().end());
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    if (!listed(name, names)) continue;
    const auto op = dispatcher.findSchema(name);
    if (!op || composed(*op) || structured(*op) || shaped_by_values(*op)) continue;
    if (!only_tensors(op->schema())) continue;
    const std::string full = name.name + (name.overload_name.empty() ? "" : "." + name.overload_name);
    library.impl(full.c_str(), torch::CppFunction::makeFromBoxedFunction<&run_operator>());
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>());
}

}  // namespace torch_mlu
