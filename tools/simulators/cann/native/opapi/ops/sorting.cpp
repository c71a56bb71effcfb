// Order: sorting, the largest, medians, distinct values, search.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

// "No axis" of aclnnUniqueConsecutive.
constexpr I kNoAxis = 1000;

template <class Result>
void write_distinct(const Result& result, Grown& values, const Out& inverse, Grown& counts) {
  values = std::get<0>(result);
  if (inverse.wanted() && inverse->numel() != 0) inverse = std::get<1>(result);
  if (counts.tensor.defined() && counts.tensor.numel() != 0) counts = std::get<2>(result);
}

}  // namespace

ACLNN(aclnnSort, (T self, bool stable, I dim, bool descending, Out values, Out indices), {
  const auto result = at::sort(self, std::optional<bool>(stable), dim, descending);
  values = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnTopk, (T self, I k, I dim, bool largest, bool sorted, Out values, Out indices), {
  const auto result = at::topk(self, k, dim, largest, sorted);
  values = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnKthvalue, (T self, I k, I dim, bool keep, Out values, Out indices), {
  const auto result = at::kthvalue(self, k, dim, keep);
  values = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnMedian, (T self, Out out), out = at::median(self))
ACLNN(aclnnNanMedian, (T self, Out out), out = at::nanmedian(self))
ACLNN(aclnnMedianDim, (T self, I dim, bool keep, Out values, Out indices), {
  const auto result = at::median(self, dim, keep);
  values = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnNanMedianDim, (T self, I dim, bool keep, Out values, Out indices), {
  const auto result = at::nanmedian(self, dim, keep);
  values = std::get<0>(result);
  indices = std::get<1>(result);
})
ACLNN(aclnnUnique, (T self, bool sorted, bool with_inverse, Grown values, Out inverse), {
  const auto result = at::_unique(self, sorted, with_inverse);
  values = std::get<0>(result);
  if (inverse.wanted() && inverse->numel() != 0) inverse = std::get<1>(result);
})
ACLNN(aclnnUnique2,
      (T self, bool sorted, bool with_inverse, bool with_counts, Grown values, Out inverse,
       Grown counts),
      write_distinct(at::_unique2(self, sorted, with_inverse, with_counts), values, inverse,
                     counts))
ACLNN(aclnnUniqueDim,
      (T self, bool sorted, bool with_inverse, I dim, Grown values, Out inverse, Grown counts),
      write_distinct(at::unique_dim(self, dim, sorted, with_inverse, true), values, inverse,
                     counts))
ACLNN(aclnnUniqueConsecutive,
      (T self, bool with_inverse, bool with_counts, I dim, Grown values, Out inverse, Grown counts),
      write_distinct(at::unique_consecutive(self, with_inverse, with_counts,
                                            dim == kNoAxis ? std::nullopt : std::optional<I>(dim)),
                     values, inverse, counts))
ACLNN(aclnnSearchSorted, (T sorted, T self, bool as_int, bool right, T sorter, Out out),
      out = at::searchsorted(sorted, self, as_int, right, std::nullopt, maybe(sorter)))
ACLNN(aclnnSearchSorteds, (T sorted, S self, bool as_int, bool right, T sorter, Out out),
      out = at::searchsorted(sorted, self, as_int, right, std::nullopt, maybe(sorter)))
ACLNN(aclnnBucketize, (T self, T boundaries, bool as_int, bool right, Out out),
      out = at::bucketize(self, boundaries, as_int, right))
