// Matrix products. The last integer of each chooses a hardware precision and changes nothing here.
#include "core/operator.hpp"

using namespace accel_opapi;

ACLNN(aclnnMm, (T self, T other, Out out, std::int8_t), out = at::mm(self, other))
ACLNN(aclnnMatmul, (T self, T other, Out out, std::int8_t), out = at::matmul(self, other))
ACLNN(aclnnBatchMatMul, (T self, T other, Out out, std::int8_t), out = at::bmm(self, other))
ACLNN(aclnnMv, (T self, T vector, Out out, std::int8_t), out = at::mv(self, vector))
ACLNN(aclnnDot, (T self, T other, Out out), out = at::dot(self, other))
ACLNN(aclnnAddmm, (T self, T left, T right, S beta, S alpha, Out out, std::int8_t),
      out = at::addmm(self, left, right, beta, alpha))
ACLNN(aclnnInplaceAddmm, (T self, T left, T right, S beta, S alpha, std::int8_t),
      self.addmm_(left, right, beta, alpha))
ACLNN(aclnnBaddbmm, (T self, T left, T right, S beta, S alpha, Out out, std::int8_t),
      out = at::baddbmm(self, left, right, beta, alpha))
ACLNN(aclnnAddbmm, (T self, T left, T right, S beta, S alpha, Out out, std::int8_t),
      out = at::addbmm(self, left, right, beta, alpha))
ACLNN(aclnnAddmv, (T self, T matrix, T vector, S alpha, S beta, Out out, std::int8_t),
      out = at::addmv(self, matrix, vector, beta, alpha))
ACLNN(aclnnAddr, (T self, T first, T second, S beta, S alpha, Out out),
      out = at::addr(self, first, second, beta, alpha))
ACLNN(aclnnInplaceAddr, (T self, T first, T second, S beta, S alpha),
      self.addr_(first, second, beta, alpha))
ACLNN(aclnnInverse, (T self, Out out), out = at::inverse(self))
ACLNN(aclnnLinalgCholesky, (T self, bool upper, Out out), out = at::linalg_cholesky(self, upper))
ACLNN(aclnnLinalgCross, (T self, T other, I dim, Out out), out = at::linalg_cross(self, other, dim))
ACLNN(aclnnTriangularSolve,
      (T self, T matrix, bool upper, bool transpose, bool unit, Out solution, Out copy), {
        const auto result = at::triangular_solve(self, matrix, upper, transpose, unit);
        solution = std::get<0>(result);
        copy = std::get<1>(result);
      })
ACLNN(aclnnSvd, (T self, bool full, bool vectors, Out values, Out left, Out right), {
  if (!vectors) {
    values = at::linalg_svdvals(self);
  } else {
    const auto result = at::linalg_svd(self, full);
    left = std::get<0>(result);
    values = std::get<1>(result);
    right = std::get<2>(result).mH();
  }
})
ACLNN(aclnnSlogdet, (T self, Out sign, Out logarithm), {
  const auto result = at::slogdet(self);
  sign = std::get<0>(result);
  logarithm = std::get<1>(result);
})
ACLNN(aclnnCdist, (T first, T second, float p, I mode, Out out),
      out = at::cdist(first, second, p, mode == 0 ? std::nullopt : std::optional<I>(mode)))
ACLNN(aclnnPdist, (T self, float p, Out out), out = at::pdist(self, p))
