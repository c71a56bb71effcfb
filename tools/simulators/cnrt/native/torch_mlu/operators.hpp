// Operators that a stream runs: one function for all of them, and the list.
#pragma once

#include <vector>

#include <ATen/core/dispatch/Dispatcher.h>

namespace torch_mlu {

// Finds the results' shapes on meta tensors, allocates them, and has the CPU's operator run on the
// current stream. Operators whose results' shapes depend on values wait and run on the host.
void run_operator(const c10::OperatorHandle& op, torch::jit::Stack* stack);

// On the host, between two waits.
void run_on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack);

// Names without overloads, "add" for add, add_ and add.out.
const std::vector<const char*>& operator_names();

}  // namespace torch_mlu
