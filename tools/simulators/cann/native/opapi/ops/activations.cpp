// Activations, softmax, and their gradients.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

at::Tensor elu_with(T self, S alpha, S scale, S input_scale) {
  return at::elu(self, alpha, scale, input_scale);
}

// Both halves of a swiglu's input, the gated one first.
Tensors halves(T self, I dim) { return at::chunk(self, 2, dim); }

at::Tensor swiglu_backward(T grad, T self, I dim) {
  const auto parts = halves(self, dim);
  return at::cat({at::silu_backward(grad * parts[1], parts[0]), grad * at::silu(parts[0])}, dim);
}

c10::string_view gelu_kind(I mode) { return mode == 1 ? "tanh" : "none"; }

}  // namespace

ACLNN(aclnnRelu, (T self, Out out), out = at::relu(self))
ACLNN(aclnnInplaceRelu, (T self), self.relu_())
ACLNN(aclnnThreshold, (T self, S threshold, S value, Out out),
      out = at::threshold(self, threshold, value))
ACLNN(aclnnInplaceThreshold, (at::Tensor self, S threshold, S value),
      at::threshold_(self, threshold, value))
ACLNN(aclnnThresholdBackward, (T grad, T self, S threshold, Out out),
      out = at::threshold_backward(grad, self, threshold))
ACLNN(aclnnSigmoid, (T self, Out out), out = at::sigmoid(self))
ACLNN(aclnnInplaceSigmoid, (T self), self.sigmoid_())
ACLNN(aclnnSigmoidBackward, (T grad, T output, Out out), out = at::sigmoid_backward(grad, output))
ACLNN(aclnnTanhBackward, (T grad, T output, Out out), out = at::tanh_backward(grad, output))
ACLNN(aclnnSilu, (T self, Out out), out = at::silu(self))
ACLNN(aclnnSiluBackward, (T grad, T self, Out out), out = at::silu_backward(grad, self))
ACLNN(aclnnMish, (T self, Out out), out = at::mish(self))
ACLNN(aclnnInplaceMish, (at::Tensor self), at::mish_(self))
ACLNN(aclnnMishBackward, (T grad, T self, Out out), out = at::mish_backward(grad, self))
// torch_npu calls this one for both of torch's kinds and passes none of them on.
ACLNN(aclnnGelu, (T self, Out out), out = at::gelu(self))
ACLNN(aclnnGeluV2, (T self, I mode, Out out), out = at::gelu(self, gelu_kind(mode)))
ACLNN(aclnnGeluBackward, (T grad, T self, Out out), out = at::gelu_backward(grad, self))
ACLNN(aclnnGeluBackwardV2, (T grad, T self, Text kind, Out out),
      out = at::gelu_backward(grad, self, kind))
ACLNN(aclnnElu, (T self, S alpha, S scale, S input_scale, Out out),
      out = elu_with(self, alpha, scale, input_scale))
ACLNN(aclnnInplaceElu, (at::Tensor self, S alpha, S scale, S input_scale),
      at::elu_(self, alpha, scale, input_scale))
ACLNN(aclnnEluBackward,
      (T grad, S alpha, S scale, S input_scale, bool is_result, T self_or_result, Out out),
      out = at::elu_backward(grad, alpha, scale, input_scale, is_result, self_or_result))
ACLNN(aclnnCelu, (T self, S alpha, Out out), out = at::celu(self, alpha))
ACLNN(aclnnInplaceCelu, (at::Tensor self, S alpha), at::celu_(self, alpha))
ACLNN(aclnnLeakyRelu, (T self, S slope, Out out), out = at::leaky_relu(self, slope))
ACLNN(aclnnInplaceLeakyRelu, (at::Tensor self, S slope), at::leaky_relu_(self, slope))
ACLNN(aclnnLeakyReluBackward, (T grad, T self, S slope, bool is_result, Out out),
      out = at::leaky_relu_backward(grad, self, slope, is_result))
ACLNN(aclnnPrelu, (T self, T weight, Out out), out = at::_prelu_kernel(self, weight))
ACLNN(aclnnHardtanh, (T self, S low, S high, Out out), out = at::hardtanh(self, low, high))
ACLNN(aclnnInplaceHardtanh, (at::Tensor self, S low, S high), at::hardtanh_(self, low, high))
ACLNN(aclnnHardtanhBackward, (T grad, T self, S low, S high, Out out),
      out = at::hardtanh_backward(grad, self, low, high))
ACLNN(aclnnHardswish, (T self, Out out), out = at::hardswish(self))
ACLNN(aclnnInplaceHardswish, (at::Tensor self), at::hardswish_(self))
ACLNN(aclnnHardswishBackward, (T grad, T self, Out out), out = at::hardswish_backward(grad, self))
ACLNN(aclnnHardswishBackwardV2, (T grad, T self, Out out), out = at::hardswish_backward(grad, self))
ACLNN(aclnnHardsigmoid, (T self, Out out), out = at::hardsigmoid(self))
ACLNN(aclnnInplaceHardsigmoid, (at::Tensor self), at::hardsigmoid_(self))
ACLNN(aclnnHardsigmoidBackward, (T grad, T self, Out out),
      out = at::hardsigmoid_backward(grad, self))
ACLNN(aclnnHardshrink, (T self, S lambda, Out out), out = at::hardshrink(self, lambda))
ACLNN(aclnnHardshrinkBackward, (T grad, T self, S lambda, Out out),
      out = at::hardshrink_backward(grad, self, lambda))
ACLNN(aclnnSoftshrink, (T self, S lambda, Out out), out = at::softshrink(self, lambda))
ACLNN(aclnnSoftshrinkBackward, (T grad, T self, S lambda, Out out),
      out = at::softshrink_backward(grad, self, lambda))
ACLNN(aclnnSoftplus, (T self, S beta, S threshold, Out out),
      out = at::softplus(self, beta, threshold))
ACLNN(aclnnSoftplusBackward, (T grad, T self, S beta, S threshold, Out out),
      out = at::softplus_backward(grad, self, beta, threshold))
ACLNN(aclnnLogSigmoid, (T self, Out out), out = at::log_sigmoid(self))
ACLNN(aclnnLogSigmoidForward, (T self, Out out, Out), out = at::log_sigmoid(self))
ACLNN(aclnnLogSigmoidBackward, (T grad, T self, T, Out out), {
  out = grad * at::sigmoid(-self);  // from the input alone: CPU's buffer is a detail of its own
})
ACLNN(aclnnGlu, (T self, I dim, Out out), out = at::glu(self, dim))
ACLNN(aclnnGluBackward, (T grad, T self, I dim, Out out), out = at::glu_backward(grad, self, dim))
ACLNN(aclnnSoftmax, (T self, I dim, Out out), out = at::softmax(self, dim, out->scalar_type()))
ACLNN(aclnnLogSoftmax, (T self, I dim, Out out),
      out = at::log_softmax(self, dim, out->scalar_type()))
ACLNN(aclnnSoftmaxBackward, (T grad, T output, I dim, Out out),
      out = at::_softmax_backward_data(grad, output, dim, output.scalar_type()))
ACLNN(aclnnLogSoftmaxBackward, (T grad, T output, I dim, Out out),
      out = at::_log_softmax_backward_data(grad, output, dim, output.scalar_type()))
ACLNN(aclnnSwiGlu, (T self, I dim, Out out),
      out = at::silu(halves(self, dim)[0]) * halves(self, dim)[1])
ACLNN(aclnnSwiGluGrad, (T grad, T self, I dim, Out out), out = swiglu_backward(grad, self, dim))
ACLNN(aclnnPreluBackward, (T grad, T self, T weight, Out grad_input, Out grad_weight), {
  // The channels of the weight lie along the second axis.
  std::vector<I> shape(self.dim(), 1);
  if (weight.numel() > 1) shape[1] = weight.numel();
  const auto result = at::_prelu_kernel_backward(grad, self, weight.reshape(shape));
  grad_input = std::get<0>(result);
  grad_weight = std::get<1>(result).sum_to_size(shape).reshape(grad_weight->sizes());
})
