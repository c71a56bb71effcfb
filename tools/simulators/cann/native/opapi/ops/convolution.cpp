// Convolution, pooling and resizing.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

std::optional<I> divisor(I value) { return value == 0 ? std::nullopt : std::optional<I>(value); }

std::optional<double> given(D scale) {
  return scale > 0 ? std::optional<double>(scale) : std::nullopt;
}

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

// The mask that these two pass on has a layout of the hardware's own: the gradient finds the
// largest elements again instead of reading it.
ACLNN(aclnnMaxPool2dWithMask,
      (T self, const Ints& kernel, const Ints& stride, const Ints& padding, const Ints& dilation,
       bool ceil, Out out, T mask),
      {
        out = at::max_pool2d(self, kernel, stride, padding, dilation, ceil);
        mask.zero_();
      })
ACLNN(aclnnMaxPool2dWithMaskBackward,
      (T grad, T self, T, const Ints& kernel, const Ints& stride, const Ints& padding,
       const Ints& dilation, bool ceil, Out out),
      {
        const auto indices =
            std::get<1>(at::max_pool2d_with_indices(self, kernel, stride, padding, dilation, ceil));
        out = at::max_pool2d_with_indices_backward(grad, self, kernel, stride, padding, dilation,
                                                   ceil, indices);
      })
ACLNN(aclnnAdaptiveMaxPool2d, (T self, const Ints& size, Out out, Out indices), {
  const auto result = at::adaptive_max_pool2d(self, size);
  out = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnAdaptiveMaxPool2dBackward, (T grad, T self, T indices, Out out),
      out = at::adaptive_max_pool2d_backward(grad, self, indices.to(at::kLong)))

// Scales that are not positive are not given: the sizes decide.
ACLNN(aclnnUpsampleNearest1d, (T self, const Ints& size, Out out),
      out = at::upsample_nearest1d(self, size))
ACLNN(aclnnUpsampleNearest1dV2, (T self, const Ints& size, float scale, Out out),
      out = at::upsample_nearest1d(self, size, given(scale)))
ACLNN(aclnnUpsampleNearest2d, (T self, const Ints& size, Out out),
      out = at::upsample_nearest2d(self, size))
ACLNN(aclnnUpsampleNearest2dV2, (T self, const Ints& size, float down, float across, Out out),
      out = at::upsample_nearest2d(self, size, given(down), given(across)))
ACLNN(aclnnUpsampleNearest2dBackward,
      (T grad, const Ints& size, const Ints& input, D down, D across, Out out),
      out = at::upsample_nearest2d_backward(grad, size, input, given(down), given(across)))
ACLNN(aclnnUpsampleBilinear2d, (T self, const Ints& size, bool corners, D down, D across, Out out),
      out = at::upsample_bilinear2d(self, size, corners, given(down), given(across)))
ACLNN(aclnnUpsampleBilinear2dBackward,
      (T grad, const Ints& size, const Ints& input, bool corners, D down, D across, Out out),
      out = at::upsample_bilinear2d_backward(grad, size, input, corners, given(down),
                                             given(across)))
ACLNN(aclnnUpsampleBilinear2dBackwardV2,
      (T grad, const Ints& size, const Ints& input, bool corners, D down, D across, Out out),
      out = at::upsample_bilinear2d_backward(grad, size, input, corners, given(down),
                                             given(across)))
