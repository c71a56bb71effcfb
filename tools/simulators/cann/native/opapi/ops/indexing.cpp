// Elements picked or placed by index or mask.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

// A missing index travels as an empty tensor (an index that is really empty makes an empty result,
// which callers do not launch).
c10::List<std::optional<at::Tensor>> index_list(const Tensors& indices) {
  c10::List<std::optional<at::Tensor>> list;
  for (T index : indices) {
    const bool missing = !index.defined() || index.numel() == 0;
    list.push_back(missing ? std::nullopt : std::optional<at::Tensor>(index));
  }
  return list;
}

at::Tensor index_of(const Ints& values) { return at::tensor(at::IntArrayRef(values), at::kLong); }

at::Tensor with_index_as_long(T index) { return index.to(at::kLong); }

// Scatter's reduction: 0 replaces, 1 adds, 2 multiplies.
at::Tensor scattered(T self, I dim, T index, T source, I reduction) {
  if (reduction == 0) return at::scatter(self, dim, index.to(at::kLong), source);
  return at::scatter(self, dim, index.to(at::kLong), source, reduction == 1 ? "add" : "multiply");
}

at::Tensor scattered(T self, I dim, T index, S value, I reduction) {
  if (reduction == 0) return at::scatter(self, dim, index.to(at::kLong), value);
  return at::scatter(self, dim, index.to(at::kLong), value, reduction == 1 ? "add" : "multiply");
}

c10::string_view reduction_name(I reduction) {
  constexpr c10::string_view names[] = {"none", "sum", "prod", "amax", "amin", "mean"};
  TORCH_CHECK(reduction > 0 && reduction < 6, "reduction ", reduction, " is not simulated");
  return names[reduction];
}

void index_put(at::Tensor self, const Tensors& indices, T value, bool accumulate, bool unsafe) {
  at::_index_put_impl_(self, index_list(indices), value, accumulate, unsafe);
}

// updates[i] replaces the sub-tensor of self at indices[i], whose last axis counts leading axes.
void scatter_nd_update(T self, T indices, T updates) {
  c10::List<std::optional<at::Tensor>> columns;
  for (const at::Tensor& column : indices.to(at::kLong).unbind(-1)) columns.push_back(column);
  self.index_put_(columns, updates);
}

// For each batch b: self[b] takes updates[b] along `axis`, starting at indices[b].
void scatter_update(T self, T indices, T updates, I axis) {
  const auto starts = indices.to(at::kLong).contiguous();
  const auto dim = at::maybe_wrap_dim(axis, self.dim());
  for (I b = 0; b < updates.size(0); ++b) {
    const auto start = starts.reshape({-1})[b].item<I>();
    self.select(0, b).narrow(dim - 1, start, updates.size(dim)).copy_(updates.select(0, b));
  }
}

}  // namespace

ACLNN(aclnnIndex, (T self, const Tensors& indices, Out out), {
  if (out->numel() != 0) out = at::index(self, index_list(indices));
})
ACLNN(aclnnIndexPutImpl, (T self, const Tensors& indices, T value, bool accumulate, bool unsafe),
      index_put(self, indices, value, accumulate, unsafe))
ACLNN(aclnnIndexSelect, (T self, I dim, T index, Out out),
      out = at::index_select(self, dim, index.reshape({-1})))
ACLNN(aclnnIndexCopy, (T self, I dim, T index, T source, Out out),
      out = at::index_copy(self, dim, with_index_as_long(index), source))
ACLNN(aclnnInplaceIndexCopy, (T self, I dim, T index, T source),
      self.index_copy_(dim, with_index_as_long(index), source))
ACLNN(aclnnIndexAdd, (T self, I dim, T index, T source, S alpha, Out out),
      out = at::index_add(self, dim, index, source, alpha))
ACLNN(aclnnIndexAddV2, (T self, I dim, T index, T source, S alpha, I, Out out),
      out = at::index_add(self, dim, index, source, alpha))
ACLNN(aclnnIndexFill, (T self, I dim, T index, S value, Out out),
      out = at::index_fill(self, dim, with_index_as_long(index), value))
ACLNN(aclnnIndexFillTensor, (T self, I dim, const Ints& index, S value, Out out),
      out = at::index_fill(self, dim, index_of(index), value))
ACLNN(aclnnInplaceIndexFill, (T self, I dim, T index, S value),
      self.index_fill_(dim, with_index_as_long(index), value))
ACLNN(aclnnInplaceIndexFillTensor, (T self, I dim, const Ints& index, S value),
      self.index_fill_(dim, index_of(index), value))
ACLNN(aclnnGather, (T self, I dim, T index, Out out),
      out = at::gather(self, dim, with_index_as_long(index)))
ACLNN(aclnnScatter, (T self, I dim, T index, T source, I reduction, Out out),
      out = scattered(self, dim, index, source, reduction))
ACLNN(aclnnScatterValue, (T self, I dim, T index, S value, I reduction, Out out),
      out = scattered(self, dim, index, value, reduction))
ACLNN(aclnnInplaceScatter, (T self, I dim, T index, T source, I reduction),
      self.copy_(scattered(self, dim, index, source, reduction)))
ACLNN(aclnnInplaceScatterValue, (T self, I dim, T index, S value, I reduction),
      self.copy_(scattered(self, dim, index, value, reduction)))
ACLNN(aclnnScatterAdd, (T self, I dim, T index, T source, Out out),
      out = at::scatter_add(self, dim, with_index_as_long(index), source))
ACLNN(aclnnScatterReduce,
      (T self, I dim, T index, T source, I reduction, bool include_self, Out out),
      out = at::scatter_reduce(self, dim, with_index_as_long(index), source,
                               reduction_name(reduction), include_self))
ACLNN(aclnnInplaceScatterReduce, (T self, I dim, T index, T source, I reduction, bool include_self),
      self.scatter_reduce_(dim, with_index_as_long(index), source, reduction_name(reduction),
                           include_self))
ACLNN(aclnnScatterNdUpdate, (T self, T indices, T updates),
      scatter_nd_update(self, indices, updates))
ACLNN(aclnnInplaceScatterUpdate, (T self, T indices, T updates, I axis),
      scatter_update(self, indices, updates, axis))
ACLNN(aclnnTake, (T self, T index, Out out), out = at::take(self, with_index_as_long(index)))
ACLNN(aclnnInplacePut, (T self, T index, T source, bool accumulate),
      self.put_(with_index_as_long(index), source, accumulate))
ACLNN(aclnnInplaceMaskedFillScalar, (T self, T mask, S value), self.masked_fill_(mask, value))
ACLNN(aclnnInplaceMaskedFillTensor, (T self, T mask, T value),
      self.masked_fill_(mask, value.reshape({})))
ACLNN(aclnnInplaceMaskedScatter, (T self, T mask, T source), self.masked_scatter_(mask, source))
ACLNN(aclnnMaskedSelect, (T self, T mask, Grown out), out = at::masked_select(self, mask))
ACLNN(aclnnNonzero, (T self, Grown out), out = at::nonzero(self))
ACLNN(aclnnNonzeroV2, (T self, Grown out), out = at::nonzero(self).t())
ACLNN(aclnnSWhere, (T condition, T self, T other, Out out), out = at::where(condition, self, other))
ACLNN(aclnnTril, (T self, I diagonal, Out out), out = at::tril(self, diagonal))
ACLNN(aclnnTriu, (T self, I diagonal, Out out), out = at::triu(self, diagonal))
ACLNN(aclnnInplaceTril, (T self, I diagonal), self.tril_(diagonal))
ACLNN(aclnnInplaceTriu, (T self, I diagonal), self.triu_(diagonal))
ACLNN(aclnnOneHot, (T self, I depth, T on, T off, I axis, Out out), {
  const auto classes = at::arange(depth, self.options());
  out = at::where(self.unsqueeze(-1) == classes, on.reshape({}), off.reshape({})).movedim(-1, axis);
})
ACLNN(aclnnEmbedding, (T weight, T indices, Out out), out = at::embedding(weight, indices))
ACLNN(aclnnEmbeddingDenseBackward,
      (T grad, T indices, I rows, I padding, bool by_frequency, Out out),
      out = at::embedding_dense_backward(grad, indices, rows, padding, by_frequency))
ACLNN(aclnnEmbeddingRenorm, (at::Tensor weight, T indices, D max_norm, D norm),
      at::embedding_renorm_(weight, indices, max_norm, norm))
ACLNN(aclnnRepeatInterleave, (T self, T repeats, I, Out out),
      out = at::repeat_interleave(self, repeats))
ACLNN(aclnnRepeatInterleaveWithDim, (T self, T repeats, I dim, I, Out out),
      out = at::repeat_interleave(self, repeats, dim))
ACLNN(aclnnRepeatInterleaveInt, (T self, I repeats, I, Out out),
      out = at::repeat_interleave(self, repeats))
ACLNN(aclnnRepeatInterleaveIntWithDim, (T self, I repeats, I dim, I, Out out),
      out = at::repeat_interleave(self, repeats, dim))
ACLNN(aclnnRepeatInterleaveTensor, (T repeats, I, Out out), out = at::repeat_interleave(repeats))
ACLNN(aclnnRenorm, (T self, S p, I dim, S max_norm, Out out),
      out = at::renorm(self, p, dim, max_norm))
ACLNN(aclnnInplaceRenorm, (T self, S p, I dim, S max_norm), self.renorm_(p, dim, max_norm))
