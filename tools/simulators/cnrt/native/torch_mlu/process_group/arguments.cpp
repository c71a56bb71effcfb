#include "arguments.hpp"

#include <ATen/ATen.h>
#include <torch_mlu/devices.hpp>

namespace torch_cncl {
namespace {

std::string places_of(const at::Tensor& tensor) {
  return c10::str(tensor.device(), ", ", tensor.scalar_type(), ", shape ", tensor.sizes());
}

}  // namespace

void check(cnclResult_t result, const char* call) {
  if (result == CNCL_RET_SUCCESS) return;
  C10_THROW_ERROR(DistBackendError, c10::str(call, ": ", cnclGetErrorStr(result), " (CNCL ",
                                             static_cast<int>(result), ")"));
}

cnclDataType_t type_of(const at::Tensor& tensor, const char* operation) {
  switch (tensor.scalar_type()) {
    case at::kHalf: return cnclFloat16;
    case at::kBFloat16: return cnclBfloat16;
    case at::kFloat: return cnclFloat32;
    case at::kChar: return cnclInt8;
    case at::kShort: return cnclInt16;
    case at::kInt: return cnclInt32;
    case at::kLong: return cnclInt64;
    case at::kByte:
    case at::kBool: return cnclUint8;
    default: break;
  }
  C10_THROW_ERROR(TypeError,
                  c10::str(operation, ": the tensor is ", tensor.scalar_type(),
                           ", and CNCL has float16, bfloat16, float32 and integers up to 64 bits "
                           "(no float64): convert it, or move it through the host"));
}

Reduction reduction_of(const c10d::ReduceOp& op, const at::Tensor& tensor, const char* operation) {
  const bool is_bool = tensor.scalar_type() == at::kBool;
  switch (op.op_) {
    case c10d::ReduceOp::SUM: return {is_bool ? cnclMax : cnclSum, false};  // of bytes 0 and 1
    case c10d::ReduceOp::PRODUCT: return {is_bool ? cnclMin : cnclProd, false};
    case c10d::ReduceOp::MIN: return {cnclMin, false};
    case c10d::ReduceOp::MAX: return {cnclMax, false};
    case c10d::ReduceOp::AVG:
      if (!is_bool) return {cnclSum, true};
      C10_THROW_ERROR(TypeError, c10::str(operation, ": booleans have no average"));
    default: break;
  }
  C10_THROW_ERROR(ValueError, c10::str(operation,
                                       ": CNCL reduces by sum, prod, min and max (and an "
                                       "average is composed), not by ReduceOp number ",
                                       static_cast<int>(op.op_)));
}

void finish_average(const Reduction& reduction, at::Tensor result, int ranks) {
  if (!reduction.average) return;
  if (c10::isIntegralType(result.scalar_type(), true)) {
    result.div_(ranks, "trunc");
  } else {
    result.div_(ranks);
  }
}

void check_tensor(const at::Tensor& tensor, const char* operation) {
  TORCH_CHECK_VALUE(tensor.device().type() == torch_mlu::kDevice, operation,
                    ": expected a tensor of a ", c10::Device(torch_mlu::kDevice), ", given one of ",
                    tensor.device());
  TORCH_CHECK_VALUE(!tensor.is_sparse() && tensor.is_non_overlapping_and_dense(), operation,
                    ": expected a dense tensor, given ", places_of(tensor), ", strides ",
                    tensor.strides(), ": make it contiguous()");
}

const at::Tensor& only(const std::vector<at::Tensor>& tensors, const char* operation) {
  TORCH_CHECK_VALUE(tensors.size() == 1, operation, ": expected one tensor, given ",
                    tensors.size());
  check_tensor(tensors[0], operation);
  return tensors[0];
}

void check_alike(const at::Tensor& tensor, const at::Tensor& other, const char* operation) {
  TORCH_CHECK_VALUE(
      tensor.device() == other.device() && tensor.scalar_type() == other.scalar_type(), operation,
      ": expected tensors of one device and type, given ", places_of(tensor), " and ",
      places_of(other));
}

void check_pieces(const at::Tensor& whole, const at::Tensor& piece, int ranks,
                  const char* operation) {
  check_alike(whole, piece, operation);
  TORCH_CHECK_VALUE(whole.numel() == piece.numel() * ranks, operation, ": expected ", ranks,
                    " pieces of ", piece.numel(), " elements, given a tensor of ", whole.numel());
}

}  // namespace torch_cncl
