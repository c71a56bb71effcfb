// Comparisons, logic, bits and shifts.
#include "core/operator.hpp"

using namespace accel_opapi;

#define COMPARISON(NAME, FUNCTION)                                                        \
  ACLNN(aclnn##NAME##Tensor, (T self, T other, Out out), out = at::FUNCTION(self, other)) \
  ACLNN(aclnn##NAME##Scalar, (T self, S other, Out out), out = at::FUNCTION(self, other)) \
  ACLNN(aclnnInplace##NAME##Tensor, (T self, T other), self.FUNCTION##_(other))           \
  ACLNN(aclnnInplace##NAME##Scalar, (T self, S other), self.FUNCTION##_(other))

#define BITWISE(NAME, FUNCTION)                                                                  \
  ACLNN(aclnnBitwise##NAME##Tensor, (T self, T other, Out out), out = at::FUNCTION(self, other)) \
  ACLNN(aclnnBitwise##NAME##Scalar, (T self, S other, Out out), out = at::FUNCTION(self, other)) \
  ACLNN(aclnnInplaceBitwise##NAME##Tensor, (T self, T other), self.FUNCTION##_(other))           \
  ACLNN(aclnnInplaceBitwise##NAME##Scalar, (T self, S other), self.FUNCTION##_(other))

COMPARISON(Eq, eq)
COMPARISON(Ne, ne)
COMPARISON(Lt, lt)
COMPARISON(Le, le)
COMPARISON(Gt, gt)
COMPARISON(Ge, ge)
ACLNN(aclnnLessScalar, (T self, S other, Out out), out = at::lt(self, other))
ACLNN(aclnnEqual, (T self, T other, Out out),
      out = at::scalar_tensor(at::equal(self, other), at::kBool))
ACLNN(aclnnIsClose, (T self, T other, D relative, D absolute, bool nan_is_nan, Out out),
      out = at::isclose(self, other, relative, absolute, nan_is_nan))
ACLNN(aclnnIsInScalarTensor, (S value, T tests, bool unique, bool invert, Out out),
      out = at::isin(value, tests, unique, invert))
ACLNN(aclnnIsInTensorScalar, (T values, S test, bool unique, bool invert, Out out),
      out = at::isin(values, test, unique, invert))

ACLNN(aclnnLogicalAnd, (T self, T other, Out out), out = at::logical_and(self, other))
ACLNN(aclnnLogicalOr, (T self, T other, Out out), out = at::logical_or(self, other))
ACLNN(aclnnLogicalXor, (T self, T other, Out out), out = at::logical_xor(self, other))
ACLNN(aclnnLogicalNot, (T self, Out out), out = at::logical_not(self))
ACLNN(aclnnInplaceLogicalAnd, (T self, T other), self.logical_and_(other))
ACLNN(aclnnInplaceLogicalOr, (T self, T other), self.logical_or_(other))
ACLNN(aclnnInplaceLogicalNot, (T self), self.logical_not_())

BITWISE(And, bitwise_and)
BITWISE(Or, bitwise_or)
BITWISE(Xor, bitwise_xor)
ACLNN(aclnnBitwiseNot, (T self, Out out), out = at::bitwise_not(self))
ACLNN(aclnnLeftShift, (T self, T count, Out out), out = at::bitwise_left_shift(self, count))
ACLNN(aclnnLeftShifts, (T self, S count, Out out), out = at::bitwise_left_shift(self, count))
ACLNN(aclnnRightShift, (T self, T count, Out out), out = at::bitwise_right_shift(self, count))
