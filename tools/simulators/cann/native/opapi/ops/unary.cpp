// Functions of one tensor, out of place and in place.
#include "core/operator.hpp"

using namespace accel_opapi;

#define UNARY(NAME, FUNCTION) ACLNN(NAME, (T self, Out out), out = at::FUNCTION(self))
#define IN_PLACE(NAME, FUNCTION) ACLNN(NAME, (T self), self.FUNCTION())
#define BOTH(NAME, FUNCTION)   \
  UNARY(aclnn##NAME, FUNCTION) \
  IN_PLACE(aclnnInplace##NAME, FUNCTION##_)

UNARY(aclnnAbs, abs)
UNARY(aclnnAngleV2, angle)
UNARY(aclnnIsFinite, isfinite)
UNARY(aclnnIsNegInf, isneginf)
UNARY(aclnnIsPosInf, isposinf)
UNARY(aclnnNeg, neg)
UNARY(aclnnRound, round)
UNARY(aclnnSign, sgn)
UNARY(aclnnSignbit, signbit)
UNARY(aclnnTrunc, trunc)
BOTH(Acos, acos)
BOTH(Acosh, acosh)
BOTH(Asin, asin)
BOTH(Asinh, asinh)
BOTH(Atan, atan)
BOTH(Atanh, atanh)
BOTH(Ceil, ceil)
BOTH(Cos, cos)
BOTH(Cosh, cosh)
BOTH(Erf, erf)
BOTH(Erfc, erfc)
BOTH(Erfinv, erfinv)
BOTH(Exp, exp)
BOTH(Exp2, exp2)
BOTH(Expm1, expm1)
BOTH(Floor, floor)
BOTH(Frac, frac)
BOTH(Log, log)
BOTH(Log10, log10)
BOTH(Log1p, log1p)
BOTH(Log2, log2)
BOTH(Reciprocal, reciprocal)
BOTH(Rsqrt, rsqrt)
BOTH(Sin, sin)
BOTH(Sinc, sinc)
BOTH(Sinh, sinh)
BOTH(Sqrt, sqrt)
BOTH(Tan, tan)
BOTH(Tanh, tanh)
ACLNN(aclnnRoundDecimals, (T self, I decimals, Out out), out = at::round(self, decimals))
ACLNN(aclnnInplaceRoundDecimals, (T self, I decimals), self.round_(decimals))
ACLNN(aclnnNanToNum, (T self, float nan, float positive, float negative, Out out),
      out = at::nan_to_num(self, nan, positive, negative))
ACLNN(aclnnInplaceNanToNum, (T self, float nan, float positive, float negative),
      self.nan_to_num_(nan, positive, negative))
ACLNN(aclnnLogit, (T self, D eps, Out out),
      out = at::logit(self, eps < 0 ? std::nullopt : std::optional<double>(eps)))
ACLNN(aclnnLogitGrad, (T self, T grad, D eps, Out out),
      out = at::logit_backward(grad, self, eps < 0 ? std::nullopt : std::optional<double>(eps)))
