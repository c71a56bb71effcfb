// Reductions and running sums. No axes in the list mean all axes.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

at::IntArrayRef all_or(const Ints& axes) { return axes; }

}  // namespace

ACLNN(aclnnReduceSum, (T self, const Ints& axes, bool keep, Type type, Out out),
      out = at::sum(self, axes.axes(), keep, type.value))
ACLNN(aclnnReduceNansum, (T self, const Ints& axes, bool keep, Type type, Out out),
      out = at::nansum(self, axes.axes(), keep, type.value))
ACLNN(aclnnMean, (T self, const Ints& axes, bool keep, Type type, Out out),
      out = at::mean(self, axes.axes(), keep, type.value))
ACLNN(aclnnProd, (T self, Type type, Out out), out = at::prod(self, type.value))
ACLNN(aclnnProdDim, (T self, I dim, bool keep, Type type, Out out),
      out = at::prod(self, dim, keep, type.value))
ACLNN(aclnnAmax, (T self, const Ints& axes, bool keep, Out out),
      out = at::amax(self, all_or(axes), keep))
ACLNN(aclnnAmin, (T self, const Ints& axes, bool keep, Out out),
      out = at::amin(self, all_or(axes), keep))
ACLNN(aclnnAminmax, (T self, const Ints& axes, bool keep, Out low, Out high), {
  low = at::amin(self, all_or(axes), keep);
  high = at::amax(self, all_or(axes), keep);
})
ACLNN(aclnnAminmaxAll, (T self, Out low, Out high), {
  low = self.min();
  high = self.max();
})
ACLNN(aclnnAminmaxDim, (T self, I dim, bool keep, Out low, Out high), {
  low = at::amin(self, dim, keep);
  high = at::amax(self, dim, keep);
})
ACLNN(aclnnMax, (T self, Out out), out = self.max())
ACLNN(aclnnMin, (T self, Out out), out = self.min())
ACLNN(aclnnMaxDim, (T self, I dim, bool keep, Out values, Out indices), {
  const auto result = at::max(self, dim, keep);
  values = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnMinDim, (T self, I dim, bool keep, Out values, Out indices), {
  const auto result = at::min(self, dim, keep);
  values = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnArgMax, (T self, I dim, bool keep, Out out), out = at::argmax(self, dim, keep))
ACLNN(aclnnArgMin, (T self, I dim, bool keep, Out out), out = at::argmin(self, dim, keep))
ACLNN(aclnnAll, (T self, const Ints& axes, bool keep, Out out),
      out = at::all(self, axes.axes(), keep))
ACLNN(aclnnAny, (T self, const Ints& axes, bool keep, Out out),
      out = at::any(self, axes.axes(), keep))
ACLNN(aclnnVarCorrection, (T self, const Ints& axes, I correction, bool keep, Out out),
      out = at::var(self, axes.axes(), correction, keep))
ACLNN(aclnnStd, (T self, const Ints& axes, I correction, bool keep, Out out),
      out = at::std(self, axes.axes(), correction, keep))
ACLNN(aclnnVarMean, (T self, const Ints& axes, I correction, bool keep, Out variance, Out mean), {
  variance = at::var(self, axes.axes(), correction, keep);
  mean = at::mean(self, axes.axes(), keep);
})
ACLNN(aclnnStdMeanCorrection,
      (T self, const Ints& axes, I correction, bool keep, Out deviation, Out mean), {
        deviation = at::std(self, axes.axes(), correction, keep);
        mean = at::mean(self, axes.axes(), keep);
      })
// An infinite order travels as the limit of an int.
ACLNN(aclnnNorm, (T self, S order, const Ints& axes, bool keep, Out out), {
  const double p = order.toDouble();
  const double limit = std::numeric_limits<int>::max();
  const double infinity = std::numeric_limits<double>::infinity();
  out = at::linalg_vector_norm(self,
                               p >= limit    ? infinity
                               : p <= -limit ? -infinity
                                             : p,
                               axes.axes(), keep, out->scalar_type());
})
ACLNN(aclnnLinalgVectorNorm, (T self, S order, const Ints& axes, bool keep, Type type, Out out),
      out = at::linalg_vector_norm(self, order, axes.axes(), keep, type.value))
ACLNN(aclnnLogSumExp, (T self, const Ints& axes, bool keep, Out out),
      out = at::logsumexp(self, all_or(axes), keep))
ACLNN(aclnnCumsum, (T self, I dim, Type type, Out out), out = at::cumsum(self, dim, type.value))
ACLNN(aclnnCumprod, (T self, S dim, Type type, Out out),
      out = at::cumprod(self, dim.toLong(), type.value))
ACLNN(aclnnCummax, (T self, I dim, Out values, Out indices), {
  const auto result = at::cummax(self, dim);
  values = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnCummin, (T self, I dim, Out values, Out indices), {
  const auto result = at::cummin(self, dim);
  values = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnTrace, (T self, Out out), out = at::trace(self))
ACLNN(aclnnBincount, (T self, T weights, I least, Out out),
      out = at::bincount(self,
                         weights.defined() ? std::optional<at::Tensor>(weights) : std::nullopt,
                         least))
ACLNN(aclnnHistc, (T self, I bins, S low, S high, Out out), out = at::histc(self, bins, low, high))
