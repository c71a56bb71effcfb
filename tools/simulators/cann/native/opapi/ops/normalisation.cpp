// Layer, group, batch and root-mean-square normalisation with their gradients.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

void layer_norm(T input, const Ints& shape, T weight, T bias, D eps, Out out, Out mean, Out rstd) {
  const auto result =
      at::native_layer_norm(input, at::IntArrayRef(shape), maybe(weight), maybe(bias), eps);
  out = std::get<0>(result);
  mean = std::get<1>(result);
  rstd = std::get<2>(result);
}

void rms_norm(T input, T gamma, D eps, Out out, Out rstd) {
  std::vector<I> axes;
  for (I d = input.dim() - gamma.dim(); d < input.dim(); ++d) axes.push_back(d);
  const auto wide = input.to(at::kFloat);
  const auto scale = at::rsqrt(at::mean(wide * wide, axes, true) + eps);
  out = wide * scale * gamma.to(at::kFloat);
  rstd = scale;
}

void rms_norm_backward(T grad, T input, T rstd, T gamma, Out grad_input, Out grad_gamma) {
  std::vector<I> inner;
  std::vector<I> outer;
  for (I d = 0; d < input.dim(); ++d) (d < input.dim() - gamma.dim() ? outer : inner).push_back(d);
  const auto normal = input.to(at::kFloat) * rstd;
  const auto wide = grad.to(at::kFloat);
  const auto scaled = wide * gamma.to(at::kFloat);
  grad_input = (scaled - normal * at::mean(scaled * normal, inner, true)) * rstd;
  grad_gamma = outer.empty() ? wide * normal : at::sum(wide * normal, outer);
}

}  // namespace

ACLNN(aclnnLayerNorm,
      (T input, const Ints& shape, T weight, T bias, D eps, Out out, Out mean, Out rstd),
      layer_norm(input, shape, weight, bias, eps, out, mean, rstd))
ACLNN(aclnnFastLayerNorm,
      (T input, const Ints& shape, T weight, T bias, D eps, Out out, Out mean, Out rstd),
      layer_norm(input, shape, weight, bias, eps, out, mean, rstd))
ACLNN(aclnnLayerNormBackward,
      (T grad, T input, const Ints& shape, T mean, T rstd, T weight, T bias, const Bools& mask,
       Out grad_input, Out grad_weight, Out grad_bias),
      {
        const auto result =
            at::native_layer_norm_backward(grad, input, at::IntArrayRef(shape), mean, rstd,
                                           maybe(weight), maybe(bias), {mask[0], mask[1], mask[2]});
        if (mask[0]) grad_input = std::get<0>(result);
        if (mask[1]) grad_weight = std::get<1>(result);
        if (mask[2]) grad_bias = std::get<2>(result);
      })
ACLNN(aclnnGroupNorm,
      (T input, T weight, T bias, I n, I c, I hw, I groups, D eps, Out out, Out mean, Out rstd), {
        const auto result = at::native_group_norm(input.contiguous(), maybe(weight), maybe(bias), n,
                                                  c, hw, groups, eps);
        out = std::get<0>(result);
        mean = std::get<1>(result);
        rstd = std::get<2>(result);
      })
ACLNN(aclnnGroupNormBackward,
      (T grad, T input, T mean, T rstd, T weight, I n, I c, I hw, I groups, const Bools& mask,
       Out grad_input, Out grad_weight, Out grad_bias),
      {
        const auto result = at::native_group_norm_backward(grad.contiguous(), input.contiguous(),
                                                           mean, rstd, maybe(weight), n, c, hw,
                                                           groups, {mask[0], mask[1], mask[2]});
        if (mask[0]) grad_input = std::get<0>(result);
        if (mask[1]) grad_weight = std::get<1>(result);
        if (mask[2]) grad_bias = std::get<2>(result);
      })
ACLNN(aclnnBatchNorm,
      (T input, T weight, T bias, T running_mean, T running_var, bool training, D momentum, D eps,
       Out out, Out mean, Out rstd),
      {
        const auto result =
            at::native_batch_norm(input, maybe(weight), maybe(bias), maybe(running_mean),
                                  maybe(running_var), training, momentum, eps);
        out = std::get<0>(result);
        if (training) {
          mean = std::get<1>(result);
          rstd = std::get<2>(result);
        }
      })
ACLNN(aclnnBatchNormBackward,
      (T grad, T input, T weight, T running_mean, T running_var, T mean, T rstd, bool training,
       D eps, const Bools& mask, Out grad_input, Out grad_weight, Out grad_bias),
      {
        const auto result = at::native_batch_norm_backward(
            grad, input, maybe(weight), maybe(running_mean), maybe(running_var), maybe(mean),
            maybe(rstd), training, eps, {mask[0], mask[1], mask[2]});
        if (mask[0]) grad_input = std::get<0>(result);
        if (mask[1]) grad_weight = std::get<1>(result);
        if (mask[2]) grad_bias = std::get<2>(result);
      })
ACLNN(aclnnRmsNorm, (T input, T gamma, D eps, Out out, Out rstd),
      rms_norm(input, gamma, eps, out, rstd))
ACLNN(aclnnRmsNormGrad, (T grad, T input, T rstd, T gamma, Out grad_input, Out grad_gamma),
      rms_norm_backward(grad, input, rstd, gamma, grad_input, grad_gamma))
ACLNN(aclnnAddRmsNorm, (T first, T second, T gamma, D eps, Out out, Out rstd, Out sum), {
  const auto added = at::add(first, second);
  sum = added;
  rms_norm(added, gamma, eps, out, rstd);
})
