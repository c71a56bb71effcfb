// The same operation on every tensor of a list. A scalar for all comes as a scalar (V2) or in a
// tensor.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

using List = const Tensors&;

template <class Function>
void each(List out, Function&& function) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Out result{out[i]};
    result = function(i);
  }
}

at::Tensor rounded(T self, I mode) {
  switch (mode) {
    case 1: return at::round(self);
    case 2: return at::floor(self);
    case 3: return at::ceil(self);
    case 5: return at::trunc(self);
    case 7: return at::frac(self);
    default: TORCH_CHECK(false, "rounding mode ", mode, " is not simulated");
  }
}

}  // namespace

#define EACH(NAME, FUNCTION)                       \
  ACLNN(aclnnForeach##NAME, (List self, List out), \
        each(out, [&](std::size_t i) { return at::FUNCTION(self[i]); }))

#define EACH_SCALAR(NAME, FUNCTION)                                                     \
  ACLNN(aclnnForeach##NAME##Scalar, (List self, T scalar, List out),                    \
        each(out, [&](std::size_t i) { return at::FUNCTION(self[i], scalar.item()); })) \
  ACLNN(aclnnForeach##NAME##ScalarV2, (List self, S scalar, List out),                  \
        each(out, [&](std::size_t i) { return at::FUNCTION(self[i], scalar); }))        \
  ACLNN(aclnnForeach##NAME##ScalarList, (List self, const Scalars& scalars, List out),  \
        each(out, [&](std::size_t i) { return at::FUNCTION(self[i], scalars[i]); }))

#define EACH_PAIR(NAME, FUNCTION)                                    \
  ACLNN(aclnnForeach##NAME##List, (List self, List other, List out), \
        each(out, [&](std::size_t i) { return at::FUNCTION(self[i], other[i]); }))

#define EACH_PAIR_SCALED(NAME, FUNCTION)                                                         \
  ACLNN(aclnnForeach##NAME##List, (List self, List other, T alpha, List out),                    \
        each(out, [&](std::size_t i) { return at::FUNCTION(self[i], other[i], alpha.item()); })) \
  ACLNN(aclnnForeach##NAME##ListV2, (List self, List other, S alpha, List out),                  \
        each(out, [&](std::size_t i) { return at::FUNCTION(self[i], other[i], alpha); }))

#define EACH_TRIPLE(NAME, FUNCTION)                                                             \
  ACLNN(aclnnForeach##NAME##Scalar, (List self, List first, List second, T scalar, List out),   \
        each(out, [&](std::size_t i) {                                                          \
          return at::FUNCTION(self[i], first[i], second[i], scalar.item());                     \
        }))                                                                                     \
  ACLNN(aclnnForeach##NAME##ScalarV2, (List self, List first, List second, S scalar, List out), \
        each(out,                                                                               \
             [&](std::size_t i) { return at::FUNCTION(self[i], first[i], second[i], scalar); }))

EACH(Abs, abs)
EACH(Acos, acos)
EACH(Asin, asin)
EACH(Atan, atan)
EACH(Cos, cos)
EACH(Cosh, cosh)
EACH(Erf, erf)
EACH(Erfc, erfc)
EACH(Exp, exp)
EACH(Expm1, expm1)
EACH(Log, log)
EACH(Log10, log10)
EACH(Log1p, log1p)
EACH(Log2, log2)
EACH(Neg, neg)
EACH(Reciprocal, reciprocal)
EACH(Sigmoid, sigmoid)
EACH(Sign, sign)
EACH(Sin, sin)
EACH(Sinh, sinh)
EACH(Sqrt, sqrt)
EACH(Tan, tan)
EACH(Tanh, tanh)
EACH_SCALAR(Add, add)
EACH_SCALAR(Sub, sub)
EACH_SCALAR(Mul, mul)
EACH_SCALAR(Div, div)
EACH_SCALAR(Pow, pow)
EACH_SCALAR(Maximum, clamp_min)
EACH_SCALAR(Minimum, clamp_max)
EACH_PAIR_SCALED(Add, add)
EACH_PAIR_SCALED(Sub, sub)
EACH_PAIR(Mul, mul)
EACH_PAIR(Div, div)
EACH_PAIR(Pow, pow)
EACH_PAIR(Maximum, maximum)
EACH_PAIR(Minimum, minimum)
EACH_TRIPLE(Addcmul, addcmul)
EACH_TRIPLE(Addcdiv, addcdiv)
ACLNN(aclnnForeachAddcmulScalarList,
      (List self, List first, List second, const Scalars& scalars, List out),
      each(out,
           [&](std::size_t i) { return at::addcmul(self[i], first[i], second[i], scalars[i]); }))
// Its scalars come in one tensor.
ACLNN(aclnnForeachAddcdivScalarList, (List self, List first, List second, T scalars, List out),
      each(out, [&](std::size_t i) {
        return at::addcdiv(self[i], first[i], second[i], scalars.reshape({-1})[i].item());
      }))
ACLNN(aclnnForeachLerpScalar, (List self, List end, S weight, List out),
      each(out, [&](std::size_t i) { return at::lerp(self[i], end[i], weight); }))
ACLNN(aclnnForeachLerpList, (List self, List end, List weight, List out),
      each(out, [&](std::size_t i) { return at::lerp(self[i], end[i], weight[i]); }))
ACLNN(aclnnForeachPowScalarAndTensor, (S base, List exponent, List out),
      each(out, [&](std::size_t i) { return at::pow(base, exponent[i]); }))
ACLNN(aclnnForeachNorm, (List self, S order, List out),
      each(out, [&](std::size_t i) { return at::linalg_vector_norm(self[i], order); }))
ACLNN(aclnnForeachCopy, (List source, List out),
      each(out, [&](std::size_t i) { return source[i]; }))
ACLNN(aclnnForeachZeroInplace, (List self), for (T tensor : self) tensor.zero_())
ACLNN(aclnnForeachRoundOffNumber, (List self, T mode, List out),
      each(out, [&](std::size_t i) { return rounded(self[i], mode.item<I>()); }))
ACLNN(aclnnForeachRoundOffNumberV2, (List self, S mode, List out),
      each(out, [&](std::size_t i) { return rounded(self[i], mode.toLong()); }))
