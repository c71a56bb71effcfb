// Losses and their gradients. A reduction is 0 none, 1 mean, 2 sum, as in torch.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

// What a reduction does to a gradient that reaches every element of `like`.
at::Tensor spread(T grad, T like, I reduction) {
  return reduction == 1 ? grad / like.numel() : grad;
}

}  // namespace

ACLNN(aclnnMseLoss, (T self, T target, I reduction, Out out),
      out = at::mse_loss(self, target, reduction))
ACLNN(aclnnMseLossBackward, (T grad, T self, T target, I reduction, Out out),
      out = at::mse_loss_backward(grad, self, target, reduction))
ACLNN(aclnnL1Loss, (T self, T target, I reduction, Out out),
      out = at::l1_loss(self, target, reduction))
ACLNN(aclnnL1LossBackward, (T grad, T self, T target, I reduction, Out out),
      out = at::sign(self - target) * spread(grad, self, reduction))
ACLNN(aclnnSmoothL1Loss, (T self, T target, I reduction, float beta, Out out),
      out = at::smooth_l1_loss(self, target, reduction, beta))
ACLNN(aclnnSmoothL1LossBackward, (T grad, T self, T target, I reduction, float beta, Out out),
      out = at::smooth_l1_loss_backward(grad, self, target, reduction, beta))
ACLNN(aclnnSoftMarginLoss, (T self, T target, I reduction, Out out),
      out = at::soft_margin_loss(self, target, reduction))
ACLNN(aclnnSoftMarginLossBackward, (T grad, T self, T target, I reduction, Out out),
      out = at::soft_margin_loss_backward(grad, self, target, reduction))
ACLNN(aclnnBinaryCrossEntropy, (T self, T target, T weight, I reduction, Out out),
      out = at::binary_cross_entropy(self, target, maybe(weight), reduction))
ACLNN(aclnnBinaryCrossEntropyBackward, (T grad, T self, T target, T weight, I reduction, Out out),
      out = at::binary_cross_entropy_backward(grad, self, target, maybe(weight), reduction))
ACLNN(aclnnBinaryCrossEntropyWithLogits,
      (T self, T target, T weight, T positive, I reduction, Out out),
      out = at::binary_cross_entropy_with_logits(self, target, maybe(weight), maybe(positive),
                                                 reduction))
ACLNN(aclnnBinaryCrossEntropyWithLogitsBackward,
      (T grad, T self, T target, T weight, T positive, I reduction, Out out), {
        const auto chance = at::sigmoid(self);
        auto slope = chance - target;
        if (positive.defined()) {
          const auto stretched = positive * target;
          slope = (stretched + 1 - target) * chance - stretched;
        }
        slope = slope * spread(grad, self, reduction);
        out = weight.defined() ? slope * weight : slope;
      })
ACLNN(aclnnKlDiv, (T self, T target, I reduction, bool log_target, Out out),
      out = at::kl_div(self, target, reduction, log_target))
ACLNN(aclnnKlDivBackward, (T grad, T self, T target, I reduction, bool log_target, Out out), {
  const auto slope =
      log_target ? -at::exp(target) : at::where(target > 0, -target, at::zeros_like(target));
  out = slope.expand_as(self) * spread(grad, self, reduction);
})
ACLNN(aclnnKlDivTargetBackward, (T grad, T self, T target, I reduction, bool log_target, Out out), {
  const auto slope =
      log_target ? at::exp(target) * (target + 1 - self)
                 : at::where(target > 0, at::log(target) + 1 - self, at::zeros_like(target));
  out = slope * spread(grad, self, reduction);
})
ACLNN(aclnnNLLLoss, (T self, T target, T weight, I reduction, I ignored, Out out, Out total), {
  const auto result =
      at::nll_loss_forward(self, target.to(at::kLong), maybe(weight), reduction, ignored);
  out = std::get<0>(result);
  total = std::get<1>(result);
})
ACLNN(aclnnNLLLossBackward,
      (T grad, T self, T target, T weight, I reduction, I ignored, T total, Out out),
      out = at::nll_loss_backward(grad, self, target.to(at::kLong), maybe(weight), reduction,
                                  ignored, total.reshape({})))
ACLNN(aclnnNLLLoss2d, (T self, T target, T weight, I reduction, I ignored, Out out, Out total), {
  const auto result =
      at::nll_loss2d_forward(self, target.to(at::kLong), maybe(weight), reduction, ignored);
  out = std::get<0>(result);
  total = std::get<1>(result);
})
ACLNN(aclnnNLLLoss2dBackward,
      (T grad, T self, T target, T weight, I reduction, I ignored, T total, Out out),
      out = at::nll_loss2d_backward(grad, self, target.to(at::kLong), maybe(weight), reduction,
                                    ignored, total.reshape({})))
