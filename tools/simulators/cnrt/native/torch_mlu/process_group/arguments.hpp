// torch's tensors and reductions as CNCL has them, or why they cannot be.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <accel_sim_cncl/cncl.h>
#include <torch/csrc/distributed/c10d/Types.hpp>

namespace torch_cncl {

/// Throws DistBackendError with what libcncl says.
void check(cnclResult_t result, const char* call);

/// bool travels as uint8. Throws TypeError for float64 and all else that CNCL has no type for: the
/// vendor's group passes float64 as float32 and sends half of the bytes.
cnclDataType_t type_of(const at::Tensor& tensor, const char* operation);

/// How CNCL reduces a tensor. An average is a sum that is divided afterwards.
struct Reduction {
  cnclReduceOp_t op;
  bool average;
};
Reduction reduction_of(const c10d::ReduceOp& op, const at::Tensor& tensor, const char* operation);
/// Divides the sum: integers towards zero.
void finish_average(const Reduction& reduction, at::Tensor result, int ranks);

/// Each throws ValueError that names the operation, what was expected and what was given.
void check_tensor(const at::Tensor& tensor, const char* operation);
const at::Tensor& only(const std::vector<at::Tensor>& tensors, const char* operation);
void check_alike(const at::Tensor& tensor, const at::Tensor& other, const char* operation);
/// `whole` has as many elements as `ranks` pieces.
void check_pieces(const at::Tensor& whole, const at::Tensor& piece, int ranks,
                  const char* operation);

}  // namespace torch_cncl

// CNCL_CHECK(cnclFreeComm, comm);
#define CNCL_CHECK(function, ...) ::torch_cncl::check(function(__VA_ARGS__), #function)
