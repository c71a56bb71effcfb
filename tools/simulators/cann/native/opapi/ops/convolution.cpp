// Convolution and pooling.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

std::optional<I> divisor(I value) { return value == 0 ? std::nullopt : std::optional<I>(value); }

}  // namespace

ACLNN(aclnnConvolution,
      (T input, T weight, T bias, const Ints& stride, const Ints& padding, const Ints& dilation,
       bool transposed, const Ints& output_padding, I groups, Out out, std::int8_t),
      out = at::convolution(input, weight, maybe(bias), at::IntArrayRef(stride),
                            at::IntArrayRef(padding), at::IntArrayRef(dilation), transposed,
                            at::IntArrayRef(output_padding), groups))
ACLNN(aclnnConvolutionBackward,
      (T grad, T input, T weight, const Ints& bias_sizes, const Ints& stride, const Ints& padding,
       const Ints& dilation, bool transposed, const Ints& output_padding, I groups,
       const Bools& mask, std::int8_t, Out grad_input, Out grad_weight, Out grad_bias),
      {
        const auto result = at::convolution_backward(
            grad, input, weight, bias_sizes.axes(), at::IntArrayRef(stride),
            at::IntArrayRef(padding), at::IntArrayRef(dilation), transposed,
            at::IntArrayRef(output_padding), groups, {mask[0], mask[1], mask[2]});
        if (mask[0]) grad_input = std::get<0>(result);
        if (mask[1]) grad_weight = std::get<1>(result);
        if (mask[2]) grad_bias = std::get<2>(result);
      })
ACLNN(aclnnAvgPool2d,
      (T self, const Ints& kernel, const Ints& stride, const Ints& padding, bool ceil,
       bool count_padding, I fixed_divisor, std::int8_t, Out out),
      out = at::avg_pool2d(self, kernel, stride, padding, ceil, count_padding,
                           divisor(fixed_divisor)))
ACLNN(aclnnAvgPool2dBackward,
      (T grad, T self, const Ints& kernel, const Ints& stride, const Ints& padding, bool ceil,
       bool count_padding, I fixed_divisor, std::int8_t, Out out),
      out = at::avg_pool2d_backward(grad, self, kernel, stride, padding, ceil, count_padding,
                                    divisor(fixed_divisor)))
ACLNN(aclnnAdaptiveAvgPool2d, (T self, const Ints& size, Out out),
      out = at::_adaptive_avg_pool2d(self, at::IntArrayRef(size)))
ACLNN(aclnnAdaptiveAvgPool2dBackward, (T grad, T self, Out out),
      out = at::_adaptive_avg_pool2d_backward(grad, self))
ACLNN(aclnnMaxPool2dWithIndices,
      (T self, const Ints& kernel, const Ints& stride, const Ints& padding, const Ints& dilation,
       bool ceil, Out out, Out indices),
      {
        const auto result =
            at::max_pool2d_with_indices(self, kernel, stride, padding, dilation, ceil);
        out = std::get<0>(result);
        indices = std::get<1>(result);
      })
ACLNN(aclnnMaxPool2dWithIndicesBackward,
      (T grad, T self, T indices, const Ints& kernel, const Ints& stride, const Ints& padding,
       const Ints& dilation, bool ceil, Out out),
      out = at::max_pool2d_with_indices_backward(grad, self, kernel, stride, padding, dilation,
                                                 ceil, indices.to(at::kLong)))
