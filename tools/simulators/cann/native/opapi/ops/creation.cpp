// Tensors filled from nothing: constants, ranges, identities.
#include "core/operator.hpp"

using namespace accel_opapi;

ACLNN(aclnnInplaceZero, (T self), self.zero_())
ACLNN(aclnnInplaceOne, (T self), self.fill_(1))
ACLNN(aclnnInplaceFillScalar, (T self, S value), self.fill_(value))
ACLNN(aclnnInplaceFillTensor, (T self, T value), self.copy_(value.reshape({}).expand_as(self)))
ACLNN(aclnnInplaceFillDiagonal, (T self, S value, bool wrap), self.fill_diagonal_(value, wrap))
ACLNN(aclnnArange, (S start, S end, S step, Out out),
      out = at::arange(start, end, step, out->scalar_type()).narrow(0, 0, out->numel()))
ACLNN(aclnnRange, (S start, S end, S step, Out out),
      out = at::range(start, end, step, out->scalar_type()))
ACLNN(aclnnLinspace, (S start, S end, I steps, Out out),
      out = at::linspace(start, end, steps, out->scalar_type()))
ACLNN(aclnnLogSpace, (S start, S end, I steps, D base, Out out),
      out = at::logspace(start, end, steps, base, out->scalar_type()))
ACLNN(aclnnEye, (I rows, I columns, Out out), out = at::eye(rows, columns, out->scalar_type()))
ACLNN(aclnnComplex, (T real, T imaginary, Out out), out = at::complex(real, imaginary))
ACLNN(aclnnPolar, (T length, T angle, Out out), out = at::polar(length, angle))
