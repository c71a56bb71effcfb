// Optimiser steps in one operator, and the scaling of mixed-precision gradients.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

// AdamW after "Decoupled Weight Decay Regularization" (Loshchilov and Hutter, 2019); `step` counts
// the steps taken before this one.
void adam_w(T parameter, T mean, T variance, T largest, T grad, T step, float lr, float beta1,
            float beta2, float decay, float eps, bool amsgrad, bool maximize) {
  const double now = step.item<double>() + 1;
  const auto slope = maximize ? -grad : grad;
  parameter.mul_(1 - static_cast<double>(lr) * decay);
  mean.lerp_(slope, 1 - beta1);
  variance.mul_(beta2).addcmul_(slope, slope, 1 - beta2);
  auto bound = variance;
  if (amsgrad && largest.defined()) {
    largest.copy_(at::maximum(largest, variance));
    bound = largest;
  }
  const double correction1 = 1 - std::pow(static_cast<double>(beta1), now);
  const double correction2 = std::sqrt(1 - std::pow(static_cast<double>(beta2), now));
  parameter.addcdiv_(mean, bound.sqrt() / correction2 + eps, -lr / correction1);
}

void sgd(T parameter, T given, T momentum_buffer, T scale, float decay, float momentum, float lr,
         float dampening, bool nesterov, bool maximize, bool first) {
  auto slope = scale.defined() ? given / scale : given.clone();
  if (maximize) slope = -slope;
  if (decay != 0) slope = slope.add(parameter, decay);
  if (momentum != 0) {
    if (first) {
      momentum_buffer.copy_(slope);
    } else {
      momentum_buffer.mul_(momentum).add_(slope, 1 - dampening);
    }
    slope = nesterov ? slope.add(momentum_buffer, momentum) : momentum_buffer;
  }
  parameter.add_(slope, -lr);
}

// The scale grows after `interval` steps without an overflow and backs off at once after one.
void update_scale(T scale, T tracker, T overflow, D growth, D backoff, I interval) {
  if (overflow.item<float>() != 0) {
    scale.mul_(backoff);
    tracker.zero_();
    return;
  }
  tracker.add_(1);
  if (tracker.item<I>() == interval) {
    scale.mul_(growth);
    tracker.zero_();
  }
}

}  // namespace

ACLNN(aclnnApplyAdamWV2,
      (T parameter, T mean, T variance, T largest, T grad, T step, float lr, float beta1,
       float beta2, float decay, float eps, bool amsgrad, bool maximize),
      adam_w(parameter, mean, variance, largest, grad, step, lr, beta1, beta2, decay, eps, amsgrad,
             maximize))
ACLNN(aclnnFusedSgd,
      (const Tensors& parameters, const Tensors& grads, const Tensors& buffers, T scale,
       float decay, float momentum, float lr, float dampening, bool nesterov, bool maximize,
       bool first),
      {
        for (std::size_t i = 0; i < parameters.size(); ++i) {
          sgd(parameters[i], grads[i], i < buffers.size() ? buffers[i] : at::Tensor(), scale, decay,
              momentum, lr, dampening, nesterov, maximize, first);
        }
      })
ACLNN(aclnnAmpUpdateScale,
      (T scale, T tracker, T overflow, D growth, D backoff, I interval, Out, Out),
      update_scale(scale, tracker, overflow, growth, backoff, interval))
ACLNN(aclnnForeachNonFiniteCheckAndUnscale, (const Tensors& grads, T overflow, T inverse), {
  for (T grad : grads) {
    if (!at::isfinite(grad).all().item<bool>()) overflow.fill_(1);
    grad.mul_(inverse.item());
  }
})
