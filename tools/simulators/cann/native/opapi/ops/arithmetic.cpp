// Binary and ternary arithmetic, each with a tensor or a scalar on the right.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

// DivMod's mode: 0 true division, 1 toward zero, 2 downward.
std::optional<c10::string_view> rounding(int mode) {
  if (mode == 1) return "trunc";
  if (mode == 2) return "floor";
  return std::nullopt;
}

}  // namespace

ACLNN(aclnnAdd, (T self, T other, S alpha, Out out), out = at::add(self, other, alpha))
ACLNN(aclnnAdds, (T self, S other, S alpha, Out out), out = at::add(self, other, alpha))
ACLNN(aclnnAddV3, (S self, T other, S alpha, Out out),
      out = at::add(at::scalar_tensor(self, other.scalar_type()), other, alpha))
ACLNN(aclnnInplaceAdd, (T self, T other, S alpha), self.add_(other, alpha))
ACLNN(aclnnInplaceAdds, (T self, S other, S alpha), self.add_(other, alpha))
ACLNN(aclnnSub, (T self, T other, S alpha, Out out), out = at::sub(self, other, alpha))
ACLNN(aclnnSubs, (T self, S other, S alpha, Out out), out = at::sub(self, other, alpha))
ACLNN(aclnnInplaceSub, (T self, T other, S alpha), self.sub_(other, alpha))
ACLNN(aclnnInplaceSubs, (T self, S other, S alpha), self.sub_(other, alpha))
ACLNN(aclnnRsub, (T self, T other, S alpha, Out out), out = at::rsub(self, other, alpha))
ACLNN(aclnnRsubs, (T self, S other, S alpha, Out out), out = at::rsub(self, other, alpha))
ACLNN(aclnnMul, (T self, T other, Out out), out = at::mul(self, other))
ACLNN(aclnnMuls, (T self, S other, Out out), out = at::mul(self, other))
ACLNN(aclnnInplaceMul, (T self, T other), self.mul_(other))
ACLNN(aclnnInplaceMuls, (T self, S other), self.mul_(other))
ACLNN(aclnnDiv, (T self, T other, Out out), out = at::div(self, other))
ACLNN(aclnnDivs, (T self, S other, Out out), out = at::div(self, other))
ACLNN(aclnnDivMod, (T self, T other, int mode, Out out), out = at::div(self, other, rounding(mode)))
ACLNN(aclnnDivMods, (T self, S other, int mode, Out out),
      out = at::div(self, other, rounding(mode)))
ACLNN(aclnnInplaceDiv, (T self, T other), self.div_(other))
ACLNN(aclnnInplaceDivs, (T self, S other), self.div_(other))
ACLNN(aclnnInplaceDivMod, (T self, T other, int mode), self.div_(other, rounding(mode)))
ACLNN(aclnnInplaceDivMods, (T self, S other, int mode), self.div_(other, rounding(mode)))
ACLNN(aclnnFloorDivide, (T self, T other, Out out), out = at::floor_divide(self, other))
ACLNN(aclnnFloorDivides, (T self, S other, Out out), out = at::floor_divide(self, other))
ACLNN(aclnnInplaceFloorDivide, (T self, T other), self.floor_divide_(other))
ACLNN(aclnnInplaceFloorDivides, (T self, S other), self.floor_divide_(other))
ACLNN(aclnnRemainderTensorTensor, (T self, T other, Out out), out = at::remainder(self, other))
ACLNN(aclnnRemainderTensorScalar, (T self, S other, Out out), out = at::remainder(self, other))
ACLNN(aclnnRemainderScalarTensor, (S self, T other, Out out), out = at::remainder(self, other))
ACLNN(aclnnInplaceRemainderTensorTensor, (T self, T other), self.remainder_(other))
ACLNN(aclnnInplaceRemainderTensorScalar, (T self, S other), self.remainder_(other))
ACLNN(aclnnFmodTensor, (T self, T other, Out out), out = at::fmod(self, other))
ACLNN(aclnnFmodScalar, (T self, S other, Out out), out = at::fmod(self, other))
ACLNN(aclnnInplaceFmodTensor, (T self, T other), self.fmod_(other))
ACLNN(aclnnInplaceFmodScalar, (T self, S other), self.fmod_(other))
ACLNN(aclnnPowTensorTensor, (T self, T exponent, Out out), out = at::pow(self, exponent))
ACLNN(aclnnPowTensorScalar, (T self, S exponent, Out out), out = at::pow(self, exponent))
ACLNN(aclnnPowScalarTensor, (S self, T exponent, Out out), out = at::pow(self, exponent))
ACLNN(aclnnInplacePowTensorTensor, (T self, T exponent), self.pow_(exponent))
ACLNN(aclnnInplacePowTensorScalar, (T self, S exponent), self.pow_(exponent))
ACLNN(aclnnAtan2, (T self, T other, Out out), out = at::atan2(self, other))
ACLNN(aclnnInplaceAtan2, (T self, T other), self.atan2_(other))
ACLNN(aclnnMaximum, (T self, T other, Out out), out = at::maximum(self, other))
ACLNN(aclnnMinimum, (T self, T other, Out out), out = at::minimum(self, other))
ACLNN(aclnnGcd, (T self, T other, Out out), out = at::gcd(self, other))
ACLNN(aclnnLogAddExp, (T self, T other, Out out), out = at::logaddexp(self, other))
ACLNN(aclnnLogAddExp2, (T self, T other, Out out), out = at::logaddexp2(self, other))
ACLNN(aclnnXLogYTensor, (T self, T other, Out out), out = at::xlogy(self, other))
ACLNN(aclnnXLogYScalarSelf, (S self, T other, Out out), out = at::xlogy(self, other))
ACLNN(aclnnXLogYScalarOther, (T self, S other, Out out), out = at::xlogy(self, other))
ACLNN(aclnnInplaceXLogYScalarOther, (T self, S other), self.xlogy_(other))
ACLNN(aclnnAddcmul, (T self, T first, T second, S value, Out out),
      out = at::addcmul(self, first, second, value))
ACLNN(aclnnInplaceAddcmul, (T self, T first, T second, S value),
      self.addcmul_(first, second, value))
ACLNN(aclnnAddcdiv, (T self, T first, T second, S value, Out out),
      out = at::addcdiv(self, first, second, value))
ACLNN(aclnnInplaceAddcdiv, (T self, T first, T second, S value),
      self.addcdiv_(first, second, value))
ACLNN(aclnnLerp, (T self, T end, T weight, Out out), out = at::lerp(self, end, weight))
ACLNN(aclnnLerps, (T self, T end, S weight, Out out), out = at::lerp(self, end, weight))
ACLNN(aclnnInplaceLerp, (T self, T end, T weight), self.lerp_(end, weight))
ACLNN(aclnnInplaceLerps, (T self, T end, S weight), self.lerp_(end, weight))
ACLNN(aclnnClamp, (T self, MaybeS low, MaybeS high, Out out), out = at::clamp(self, low, high))
ACLNN(aclnnClampMin, (T self, S low, Out out), out = at::clamp_min(self, low))
ACLNN(aclnnClampMax, (T self, S high, Out out), out = at::clamp_max(self, high))
ACLNN(aclnnInplaceClampMax, (T self, S high), self.clamp_max_(high))
ACLNN(aclnnClampTensor, (T self, T low, T high, Out out), {
  auto bounded = self;
  if (low.defined()) bounded = at::clamp_min(bounded, low);
  if (high.defined()) bounded = at::clamp_max(bounded, high);
  out = bounded;
})
ACLNN(aclnnClampMinTensor, (T self, T low, Out out), out = at::clamp_min(self, low))
ACLNN(aclnnClampMaxTensor, (T self, T high, Out out), out = at::clamp_max(self, high))
ACLNN(aclnnInplaceClampMinTensor, (T self, T low), self.clamp_min_(low))
ACLNN(aclnnInplaceClampMaxTensor, (T self, T high), self.clamp_max_(high))
ACLNN(aclnnAddRelu, (T self, T other, S alpha, Out out),
      out = at::relu(at::add(self, other, alpha)))
ACLNN(aclnnInplaceAddRelu, (T self, T other, S alpha), self.add_(other, alpha).relu_())
